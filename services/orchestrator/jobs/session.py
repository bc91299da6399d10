"""A job's session: what was said before it, and what it adds, each appended once."""

import msgspec

from penstock.contracts.context import Append, History, HistoryRequest, Turn
from penstock.contracts.subjects import CONTEXT_APPEND, CONTEXT_HISTORY
from services.orchestrator.jobs.context import JobContext
from services.orchestrator.steps import Done, Try


async def recall(context: JobContext) -> list[msgspec.Raw]:
    """The session's latest messages, oldest first; none without a session."""
    session = context.job.session
    if not session:
        return []

    async def ask(this: Try) -> Done[History]:
        limit = context.bounds.history_turns_max
        history = await context.bus.call(CONTEXT_HISTORY, HistoryRequest(session, limit), this.meta)
        return Done(history, taint=history.taint)

    history = await context.steps.step("history", "history", ask, History, arguments=session)
    return [turn.message for turn in history.turns]


async def remember(context: JobContext, messages: list[msgspec.Raw]) -> None:
    """Adds these messages to the session. Their ids come from the run, so that adding them twice adds them once."""
    session = context.job.session
    if not session:
        return
    turns = [Turn(f"{context.run}-{place}", message) for place, message in enumerate(messages)]

    async def ask(this: Try) -> Done[int]:
        return Done((await context.bus.call(CONTEXT_APPEND, Append(session, turns), this.meta)).length)

    arguments = [session, turns]
    await context.steps.step("remember", "remember", ask, int, arguments=arguments, effect="idempotent")
