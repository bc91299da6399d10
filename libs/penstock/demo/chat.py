"""(a) A chat job is published onto NATS, and the model's answer comes back token by token."""

import asyncio
from contextlib import aclosing

import msgspec

from penstock.client import job
from penstock.contracts.jobs import JobEvent, JobView, TokenFrame
from penstock.contracts.subjects import JOB_PUBLISH
from penstock.demo.stage import Stage

WORDS_MAX_TOKENS = 60


class ChatOutput(msgspec.Struct):
    text: str
    model: str = ""


def answer_of(view: JobView) -> ChatOutput:
    """A job's answer, an empty one when it has none."""
    return msgspec.json.decode(view.output, type=ChatOutput) if view.output else ChatOutput("")


async def scene(stage: Stage) -> None:
    claims, plane = stage.claims, stage.plane
    claims.scene("a", "A chat job, published onto NATS, streamed from the model")
    messages = [{"role": "user", "content": "What is a water wheel? Answer in two sentences."}]
    asked = job("chat", {"messages": messages, "max_tokens": WORDS_MAX_TOKENS, "temperature": 0})
    subject = JOB_PUBLISH.subject.at(tenant=plane.tenant, kind="chat")
    claims.tell(f"Publishing job {asked.id} on {subject} and waiting until it is stored.")
    await plane.publish(asked)
    clock = asyncio.get_running_loop().time
    frames: list[TokenFrame] = []
    arrivals: list[float] = []
    ended = 0.0
    events: list[JobEvent] = []
    async with aclosing(plane.follow(asked.id)) as items:
        async for item in items:
            if isinstance(item, TokenFrame):
                frames.append(item)
                arrivals.append(clock())
                claims.screen.stream(item.text)
            else:
                events.append(item)
                ended = clock()
    claims.screen.end_line()
    view = await plane.get(asked.id)
    output = answer_of(view)
    ended_as = f"{view.error.code}: {view.error.detail}" if view.error else view.state
    claims.check("the job was taken from the queue and completed", view.state == "completed", ended_as)
    spread = ended - arrivals[0] if arrivals else 0.0
    claims.check(
        "the answer came in pieces, not at the end",
        len(frames) >= 5 and spread > 0.05,
        f"{len(frames)} frames, the first {spread:.1f} s before the end",
    )
    claims.check("no frame was lost or repeated", [frame.seq for frame in frames] == list(range(len(frames))))
    claims.check("the pieces are the answer", "".join(frame.text for frame in frames) == output.text != "")
    claims.check("every event has its number", [event.n for event in events] == list(range(len(events))))
    used = f"{view.usage.input} + {view.usage.output} tokens of {output.model}"
    claims.check("what it used was counted", view.usage.input > 0 and view.usage.output > 0, used)
