"""Each kind of job from its submission to its end, on a real broker."""

import msgspec
import pytest

from penstock.contracts.context import Turn
from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import Budget, Job
from penstock.contracts.llm import Usage
from penstock.contracts.subjects import JOB_TOKEN
from tests.services.orchestrator.conftest import Start
from tests.support.run_peers import Peers


def job(kind: str, input: object, **fields: object) -> Job:
    raw = msgspec.Raw(msgspec.json.encode(input))
    return msgspec.convert({"kind": kind, "input": raw, **fields}, Job)


def output(raw: msgspec.Raw) -> object:
    decoded: object = msgspec.json.decode(raw)
    return decoded


async def test_a_chat_job_is_answered_token_by_token(peers: Peers, start: Start) -> None:
    peers.script = ["Hello there friend"]
    async with start():
        submitted = await peers.submit(job("chat", "hi", id="job_a"))
        view = await peers.ended("job_a")
    assert submitted.id == "job_a" and not submitted.duplicate
    assert view.state == "completed"
    assert output(view.output) == {"text": "Hello there friend ", "model": "m-1"}
    assert (view.usage, view.cost_nano) == (Usage(uncached=10, output=5), 1000)
    assert [e.type for e in await peers.events("job_a")] == ["accepted", "started", "step", "step", "completed"]
    frames = [stored.body for stored in await peers.bus.read(JOB_TOKEN, tenant="acme", job="job_a")]
    assert [(frame.seq, frame.text, frame.last) for frame in frames] == [
        (0, "Hello ", False),
        (1, "there ", False),
        (2, "friend ", False),
        (3, "", True),
    ]


async def test_an_agent_uses_tools_and_documents_until_it_answers(peers: Peers, start: Start) -> None:
    peers.script = [
        [("lookup", '{"q":1}'), ("search_documents", '{"query":"pipes"}')],
        [("write", '{"x":2}')],
        "All done",
    ]
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        view = await peers.ended("job_a")
    assert output(view.output) == {"text": "All done ", "model": "m-1"}
    assert view.usage == Usage(uncached=30, output=15)
    events = await peers.events("job_a")
    assert [(e.type, e.step, e.name) for e in events[2:]] == [
        ("step", "tools", "tools"),
        ("step", "model-1", "fast"),
        *sorted([("step", "tool-1-1", "lookup"), ("step", "tool-1-2", "search_documents")]),
        ("step", "model-2", "fast"),
        ("step", "tool-2-1", "write"),
        ("step", "model-3", "fast"),
        ("completed", "", ""),
    ] or {e.step for e in events} >= {"tool-1-1", "tool-1-2"}
    last = msgspec.json.decode(peers.bodies[-1], type=dict[str, msgspec.Raw])
    messages = msgspec.json.decode(last["messages"], type=list[dict[str, object]])
    assert [message["role"] for message in messages] == [
        "system",
        "user",
        *["assistant", "tool", "tool"],
        "assistant",
        "tool",
    ]
    assert messages[3]["content"] == 'lookup gave {"q":1}'
    assert "about pipes in docs" in str(messages[4]["content"])


async def test_calls_carry_the_runs_token_epoch_step_and_key(peers: Peers, start: Start) -> None:
    peers.script = [[("write", "{}")], "ok"]
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        view = await peers.ended("job_a")
    tool, meta = peers.tool_calls[0]
    run = peers.delegated[0].run
    assert tool == "write"
    assert (meta.job, meta.step, meta.tenant) == ("job_a", "tool-1-1", "acme")
    assert meta.idempotency_key == f"{run}-tool-1-1"
    assert meta.epoch == view.epoch > 0
    assert meta.token != peers.meta().token
    assert meta.deadline > 0


async def test_a_run_is_granted_what_its_agent_needs_and_the_jobs_budget(peers: Peers, start: Start) -> None:
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="quick", budget=Budget(usd=0.5, tokens=99)))
        await peers.ended("job_a")
        await peers.submit(job("chat", "go", id="job_b"))
        await peers.ended("job_b")
    agent, chat = peers.delegated
    assert (agent.actor, agent.tools, agent.budget_nano, agent.budget_tokens) == (
        "agent:quick",
        ("lookup",),
        500_000_000,
        99,
    )
    assert (chat.actor, chat.tools, chat.scopes) == ("job:chat", (), ("model.complete", "context.session"))


async def test_a_refused_tool_is_told_to_the_model_and_the_agent_goes_on(peers: Peers, start: Start) -> None:
    peers.script = [
        [("pay", "{}"), ("nosuch", "{}"), ("lookup", "[]"), ("lookup", '{"a":' + "[" * 3000)],
        "I could not",
    ]
    peers.denied["pay"] = Failure(Code.DENIED, "paying needs a person", decision="dec_9")
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        view = await peers.ended("job_a")
    assert view.state == "completed"
    refused = next(e for e in await peers.events("job_a") if e.step == "tool-1-1")
    assert (refused.type, refused.decision) == ("step", "dec_9")
    assert refused.error is not None and refused.error.code == "denied"
    assert "denied: paying needs a person" in peers.bodies[-1]
    assert "error (not_found): there is no such tool" in peers.bodies[-1]
    assert peers.bodies[-1].count("error (invalid): the arguments are not a JSON object") == 2


async def test_a_spent_budget_ends_the_job_with_that_code(peers: Peers, start: Start) -> None:
    peers.script = [[("lookup", "{}")], Failure(Code.BUDGET_EXHAUSTED, "nothing is left", decision="dec_b")]
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        view = await peers.ended("job_a")
    assert view.state == "failed"
    assert view.error is not None and (view.error.code, view.error.decision) == ("budget_exhausted", "dec_b")


async def test_an_agent_that_never_comes_to_an_end_is_stopped_by_its_limit(peers: Peers, start: Start) -> None:
    peers.script = [[("lookup", "{}")]] * 3
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="quick"))
        view = await peers.ended("job_a")
    assert view.error is not None
    assert (view.error.code, view.error.detail) == (
        "budget_exhausted",
        "the agent's limit of 2 model calls is used up",
    )
    assert peers.model_calls.total() == 2


async def test_a_model_that_fails_for_a_moment_is_asked_again(peers: Peers, start: Start) -> None:
    tries = 0

    class Flaky(list[str]):
        def __getitem__(self, index: object) -> str:  # type: ignore[override]  # only read by place
            nonlocal tries
            tries += 1
            if tries < 3:
                raise Failure(Code.UNAVAILABLE, "no deployment", retry_after_s=0.01)
            return "ok"

    peers.script = Flaky()  # type: ignore[assignment]  # a list that answers differently each time
    async with start():
        await peers.submit(job("chat", "go", id="job_a", model="fast"))
        await peers.ended("job_a")
    types = [e.type for e in await peers.events("job_a")]
    assert types == ["accepted", "started", "step_failed", "step_failed", "step", "completed"]
    frames = [stored.body for stored in await peers.bus.read(JOB_TOKEN, tenant="acme", job="job_a")]
    assert {frame.try_number for frame in frames} == {2}


async def test_a_tool_job_gives_what_the_tool_gave(peers: Peers, start: Start) -> None:
    async with start():
        await peers.submit(job("tool", {"q": 1}, id="job_a", tool="lookup"))
        view = await peers.ended("job_a")
    assert output(view.output) == {"content": 'lookup gave {"q":1}', "media_type": "text/plain"}


async def test_a_tool_job_that_policy_refuses_ends_denied(peers: Peers, start: Start) -> None:
    peers.denied["pay"] = Failure(Code.DENIED, "no", decision="dec_9")
    async with start():
        await peers.submit(job("tool", {}, id="job_a", tool="pay"))
        view = await peers.ended("job_a")
    assert view.state == "denied"
    assert (await peers.events("job_a"))[-1].type == "denied"


async def test_retrieve_and_ingest(peers: Peers, start: Start) -> None:
    async with start():
        await peers.submit(job("ingest", {"source": "a.md", "text": "# A"}, id="job_a", collection="docs"))
        await peers.submit(job("retrieve", {"query": "a", "limit": 1}, id="job_b", collection="docs"))
        ingested, found = await peers.ended("job_a"), await peers.ended("job_b")
    assert output(ingested.output) == {"document": "d1", "passages": 1}
    assert peers.documents["a.md"].collection == "docs"
    found_output = output(found.output)
    assert isinstance(found_output, dict)
    assert found_output["passages"][0]["text"] == "about a in docs"


async def test_a_session_is_remembered_between_jobs(peers: Peers, start: Start) -> None:
    peers.script = ["first answer"]
    async with start():
        await peers.submit(job("chat", "one", id="job_a", session="s1", model="fast"))
        await peers.ended("job_a")
        await peers.submit(job("chat", "two", id="job_b", session="s1", model="fast"))
        await peers.ended("job_b")
    assert [bytes(turn.message).decode() for turn in peers.sessions["s1"]] == [
        '{"role":"user","content":"one"}',
        '{"role":"assistant","content":"first answer "}',
        '{"role":"user","content":"two"}',
        '{"role":"assistant","content":"first answer "}',
    ]
    assert peers.bodies[-1].count('"content":"one"') == 1
    assert isinstance(peers.sessions["s1"][0], Turn)


async def test_large_inputs_and_outputs_are_carried_whole(peers: Peers, start: Start) -> None:
    text = "x" * 400_000
    peers.script = ["y" * 300_000]
    async with start():
        await peers.submit(job("chat", text, id="job_a", model="fast"))
        view = await peers.ended("job_a")
    assert text in peers.bodies[0]
    assert output(view.output) == {"text": "y" * 300_000 + " ", "model": "m-1"}
    last = (await peers.events("job_a"))[-1]
    assert (last.type, len(last.output), last.detail) == ("completed", 0, "the output is large: ask for the job")


@pytest.mark.parametrize("kind", ["chat", "agent"])
async def test_a_failing_model_fails_the_job(peers: Peers, start: Start, kind: str) -> None:
    peers.script = [Failure(Code.INVALID, "the request is not understood")]
    async with start():
        await peers.submit(job(kind, "go", id="job_a", agent="helper" if kind == "agent" else "", model="fast"))
        view = await peers.ended("job_a")
    assert view.state == "failed"
    assert view.error is not None and view.error.detail == "the request is not understood"


async def test_steps_and_runs_are_counted(peers: Peers, start: Start) -> None:
    peers.script = [[("lookup", "{}"), ("nosuch", "{}")], "ok"]
    async with start() as host:
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        await peers.ended("job_a")
        text = host.metrics.render().decode()
    for line in (
        'penstock_run_steps_total{status="ok",step="model"} 2.0',
        'penstock_run_steps_total{status="ok",step="tool"} 1.0',
        'penstock_run_steps_total{status="not_found",step="tool"} 1.0',
        'penstock_runs_total{kind="agent",status="completed"} 1.0',
    ):
        assert line in text
