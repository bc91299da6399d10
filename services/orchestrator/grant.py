"""What a job's run is granted and asked for: no more than its kind needs. Pure."""

import hashlib

import msgspec

from penstock.contracts.jobs import Job
from penstock.contracts.policy import ActionName, Delegate, Entity, Fact, Question
from services.orchestrator.agents import Agent
from services.orchestrator.jobs.documents import SEARCH_TOOL

SCOPES: dict[str, tuple[str, ...]] = {
    "chat": ("model.complete", "context.session"),
    "agent": ("model.complete", "model.embed", "tool.call", "context.search", "context.session"),
    "tool": ("*",),
    "retrieve": ("context.search", "model.embed"),
    "ingest": ("context.ingest", "model.embed"),
}
"""A tool job is the caller's own call of a tool, with all the rights that they have."""
NANO_PER_USD = 10**9


def delegation(job: Job, run: str, agent: Agent | None, lifetime_s: float) -> Delegate:
    """The run's own token, asked for with the caller's: `agent:<name>` for an agent, `job:<kind>` otherwise."""
    scopes: tuple[str, ...] = SCOPES[job.kind]
    tools: tuple[str, ...] = ()
    if agent is not None:
        scopes = (*scopes, *agent.rights)
        tools = tuple(name for name in agent.tools if name != SEARCH_TOOL)
    elif job.kind == "tool":
        tools = (job.tool,)
    return Delegate(
        run=run,
        actor=f"agent:{agent.name}" if agent is not None else f"job:{job.kind}",
        scopes=scopes,
        tools=tools,
        budget_nano=round(job.budget.usd * NANO_PER_USD),
        budget_tokens=job.budget.tokens,
        lifetime_s=lifetime_s,
    )


def question(action: str, kind: str, attempt: str, *, owner: str = "", job: Job | None = None) -> Question:
    """May the caller do this with a job of this kind? With `job`, what it asks for stands among the facts."""
    properties: dict[str, Fact] = {"owner": owner} if owner else {}
    facts: dict[str, Fact] = {}
    digest = ""
    if job is not None:
        named = {"wanted_agent": job.agent, "wanted_model": job.model, "wanted_tool": job.tool}
        facts = {name: text for name, text in named.items() if text}
        # the same job asked for again, as after an approval, may have got another id
        bare = msgspec.structs.replace(job, id="")
        digest = hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()
    return Question(
        ActionName(action), Entity("Job", kind, properties), attempt, context=facts, arguments_digest=digest
    )
