"""One streamed model call as a step: text shown as it comes, the whole answer recorded."""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import CompletionRequest, ModelsRequest
from penstock.contracts.subjects import LLM_MODELS, LLM_STREAM
from services.orchestrator.chunks import Answer, AnswerReader
from services.orchestrator.jobs.context import JobContext
from services.orchestrator.jobs.live import Frames
from services.orchestrator.steps import Done, Try

_STREAMED = {"stream": msgspec.Raw(b"true"), "stream_options": msgspec.Raw(b'{"include_usage":true}')}


class ModelOutput(msgspec.Struct, frozen=True, omit_defaults=True):
    """The output of a chat or an agent job. `tool_calls`: what a chat asks its own tools for: the caller does it."""

    text: str
    finish: str = ""
    model: str = ""
    tool_calls: tuple[msgspec.Raw, ...] = ()


async def alias(context: JobContext, named: str) -> str:
    """The model to ask: the one that is named, otherwise the router's default, which is looked up once per run."""
    if named:
        return named

    async def ask(this: Try) -> Done[str]:
        models = await context.bus.call(LLM_MODELS, ModelsRequest(), this.meta)
        if not models.default_chat:
            raise Failure(Code.NOT_FOUND, "the job names no model, and there is no default", param="model")
        return Done(models.default_chat)

    return await context.steps.step("default-model", "default model", ask, str, arguments=None)


async def ask_model(
    context: JobContext, step: str, model: str, messages: list[msgspec.Raw], options: dict[str, msgspec.Raw]
) -> Answer:
    """The model's answer to these messages; `options` are other fields of an OpenAI chat request."""
    asked: dict[str, object] = {**options, **_STREAMED, "model": model, "messages": messages}
    body = msgspec.Raw(msgspec.json.encode(asked))

    async def complete(this: Try) -> Done[Answer]:
        reader = AnswerReader(context.bounds.model_stream_max_bytes)
        frames = Frames(context.bus, context.tenant, context.job.id, step, this.number)
        async with context.bus.stream(LLM_STREAM, CompletionRequest(model, body), this.meta) as stream:
            async for frame in stream:
                frames.say(reader.feed(frame))
        answer, served = reader.answer(), stream.end.served
        frames.close()
        return Done(answer, served.usage, served.cost_nano, served.attempt, served.decision)

    return await context.steps.step(step, model, complete, Answer, arguments=asked)
