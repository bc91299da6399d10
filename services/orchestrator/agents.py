"""The agents file: who can be asked to do an `agent` job, with which model, instructions, tools and limits.

An agent's revision is the digest of its definition; a run stays with the revision it began with. Reading is pure.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec
import yaml
from msgspec import Meta

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
Count = Annotated[int, Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`max_steps`: model calls in one run; `calls_max`: tool calls that one answer may ask for; `parallel_max`: of
    these at once; `deadline_s`: for a job that names none, 0 is the service's own; `answer_tokens`: the most that one
    model call may write, 0 leaves it to the router."""

    max_steps: Annotated[int, Meta(ge=1, le=500)] = 12
    calls_max: Annotated[int, Meta(ge=1, le=256)] = 16
    parallel_max: Annotated[int, Meta(ge=1, le=64)] = 4
    deadline_s: Annotated[float, Meta(ge=0)] = 0.0
    answer_tokens: Annotated[int, Meta(ge=0)] = 0


class Agent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One agent. `model`: an alias, empty for the router's default. `tools`: names of the tools it may ask for, and
    `search_documents`, which is built in and searches `collections` (the first one where the model names none).
    `rights`: elevated rights such as `tools:dangerous` that it may use where whoever asks it has them."""

    name: Name
    instructions: str
    description: str = ""
    model: str = ""
    tools: tuple[str, ...] = ()
    collections: tuple[Name, ...] = ("default",)
    rights: tuple[str, ...] = ()
    limits: Limits = Limits()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agents: list[Agent]


def revision(agent: Agent) -> str:
    """The digest of a definition: the same text, the same revision, on every worker."""
    canonical = msgspec.json.encode(agent, order="deterministic")
    return f"{agent.name}-{hashlib.sha256(canonical).hexdigest()[:16]}"


def read_agents(text: bytes) -> list[Agent]:
    """The agents in a YAML file's text. Raises Failure(INVALID) with a sentence that says what is wrong, and where."""
    try:
        content: object = yaml.safe_load(text)
        agents = msgspec.convert(content, _File).agents
    except yaml.YAMLError as error:
        where = str(getattr(error, "problem_mark", "")).strip()
        raise Failure(Code.INVALID, f"the agents file is not YAML: {where}") from error
    except (msgspec.ValidationError, RecursionError) as error:
        raise Failure(Code.INVALID, f"the agents file is wrong: {error}") from error
    names: set[str] = set()
    for agent in agents:
        if agent.name in names:
            raise Failure(Code.INVALID, f"the agents file names `{agent.name}` twice")
        names.add(agent.name)
        _check(agent)
    return agents


def _check(agent: Agent) -> None:
    if len(set(agent.tools)) != len(agent.tools):
        raise Failure(Code.INVALID, f"agent `{agent.name}` names a tool twice")
    for tool in agent.tools:
        if not is_token(tool):
            raise Failure(Code.INVALID, f"agent `{agent.name}`: `{tool}` cannot be the name of a tool")
    if not agent.collections:
        raise Failure(Code.INVALID, f"agent `{agent.name}` names no collection: write [default]")


class Agents:
    """The agents that this worker knows: those of the file as it stands, and by revision also the ones before."""

    def __init__(self, agents: Iterable[Agent] = ()) -> None:
        self._by_name: dict[str, Agent] = {}
        self._by_revision: dict[str, Agent] = {}
        self.replace(agents)

    def replace(self, agents: Iterable[Agent]) -> None:
        """The file's new content, all at once. Runs under way keep their revision."""
        self._by_name = {agent.name: agent for agent in agents}
        self._by_revision |= {revision(agent): agent for agent in self._by_name.values()}

    def named(self, name: str) -> Agent:
        """The agent that new jobs get. Raises Failure(NOT_FOUND)."""
        agent = self._by_name.get(name)
        if agent is None:
            raise Failure(Code.NOT_FOUND, f"there is no agent `{name[:64]}`", param="agent")
        return agent

    def at(self, revision: str) -> Agent | None:
        """The definition that a run is pinned to; None when this worker never saw it."""
        return self._by_revision.get(revision)
