"""A chat job: one model call, with the session's history before it."""

import msgspec

from services.orchestrator.asks import Message, conversation, encoded
from services.orchestrator.jobs.context import JobContext
from services.orchestrator.jobs.model import ModelOutput, alias, ask_model
from services.orchestrator.jobs.session import recall, remember


async def chat(context: JobContext) -> ModelOutput:
    """Answers the job's messages."""
    asked = conversation(context.job)
    model = await alias(context, context.job.model)
    messages = [*await recall(context), *asked.messages]
    answer = await ask_model(context, "model-1", model, messages, asked.options)
    await remember(context, [*asked.messages, encoded(Message("assistant", answer.text))])
    calls = tuple(msgspec.Raw(msgspec.json.encode(call)) for call in answer.tool_calls)
    return ModelOutput(answer.text, answer.finish, answer.model or model, calls)
