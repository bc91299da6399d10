"""The table of kinds: what carries out a job, and the revision that its runs are pinned to."""

from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import Job
from services.orchestrator.agents import Agent, Agents, revision
from services.orchestrator.jobs.agent import agent
from services.orchestrator.jobs.chat import chat
from services.orchestrator.jobs.context import Kind
from services.orchestrator.jobs.single import ingest_job, retrieve_job, tool_job

KINDS: dict[str, Kind] = {
    "agent": agent,
    "chat": chat,
    "tool": tool_job,
    "retrieve": retrieve_job,
    "ingest": ingest_job,
}
STEPS_REVISION = {"agent": "1", "chat": "1", "tool": "1", "retrieve": "1", "ingest": "1"}
"""Raised when a kind's steps change, so that no worker replays what another version began."""


def pinned(job: Job, agents: Agents) -> tuple[str, Agent | None]:
    """The revision that a new run of this job gets. Raises Failure(NOT_FOUND) for an agent that is not there."""
    base = f"{job.kind}.{STEPS_REVISION[job.kind]}"
    if job.kind != "agent":
        return base, None
    definition = agents.named(job.agent)
    return f"{base}.{revision(definition)}", definition


def known(run_revision: str, agents: Agents) -> tuple[bool, Agent | None]:
    """Whether this worker can carry out a run of that revision, and the agent that it is pinned to."""
    kind, _, rest = run_revision.partition(".")
    steps, _, agent_revision = rest.partition(".")
    if STEPS_REVISION.get(kind) != steps:
        return False, None
    if kind != "agent":
        return True, None
    definition = agents.at(agent_revision)
    return definition is not None, definition


def carrier(job: Job) -> Kind:
    """What carries out this job."""
    found = KINDS.get(job.kind)
    if found is None:
        raise Failure(Code.INVALID, f"there is no kind `{job.kind}`")
    return found
