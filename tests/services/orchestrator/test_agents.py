"""The agents file."""

import pytest

from penstock.contracts.errors import Code, Failure
from services.orchestrator.agents import Agent, Agents, Limits, read_agents, revision

FILE = b"""
agents:
  - name: researcher
    description: looks things up
    model: fast
    instructions: |
      You look things up.
    tools: [search_documents, http_get]
    collections: [docs, default]
    limits: {max_steps: 8, parallel_max: 2, deadline_s: 60, answer_tokens: 500}
  - name: plain
    instructions: Be brief.
"""


def test_a_file_is_read_with_defaults_for_what_it_leaves_out() -> None:
    assert read_agents(FILE) == [
        Agent(
            name="researcher",
            description="looks things up",
            model="fast",
            instructions="You look things up.\n",
            tools=("search_documents", "http_get"),
            collections=("docs", "default"),
            limits=Limits(max_steps=8, parallel_max=2, deadline_s=60, answer_tokens=500),
        ),
        Agent(name="plain", instructions="Be brief."),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"agents: [", "not YAML"),
        (b"", "wrong"),
        (b"agents: [{name: a}]", "instructions"),
        (b"agents: [{name: a.b, instructions: x}]", "regex"),
        (b"agents: [{name: a, instructions: x, tool: [b]}]", "tool"),
        (b"agents: [{name: a, instructions: x}, {name: a, instructions: y}]", "`a` twice"),
        (b"agents: [{name: a, instructions: x, tools: [t, t]}]", "twice"),
        (b"agents: [{name: a, instructions: x, tools: [t.u]}]", "`t.u`"),
        (b"agents: [{name: a, instructions: x, limits: {max_steps: 0}}]", ">= 1"),
        (b"agents: [{name: a, instructions: x, collections: []}]", "collection"),
        (b"agents: [!!python/object/apply:os.getcwd []]", "not YAML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_what_is_wrong(text: bytes, says: str) -> None:
    with pytest.raises(Failure) as refused:
        read_agents(text)
    assert refused.value.code is Code.INVALID
    assert says in refused.value.detail


def test_a_revision_is_the_digest_of_the_definition() -> None:
    one = Agent(name="a", instructions="x")
    assert revision(one) == revision(Agent(name="a", instructions="x", model=""))
    assert revision(one) != revision(Agent(name="a", instructions="y"))
    assert revision(one) == "a-" + revision(one)[2:] and len(revision(one)) == 18


def test_new_jobs_get_the_new_definition_and_runs_keep_theirs() -> None:
    old, new = Agent(name="a", instructions="old"), Agent(name="a", instructions="new")
    agents = Agents([old])
    agents.replace([new])
    assert agents.named("a") is new
    assert agents.at(revision(old)) is old
    assert Agents([new]).at(revision(old)) is None


def test_an_agent_that_is_gone_from_the_file_is_not_found() -> None:
    agents = Agents([Agent(name="a", instructions="x")])
    agents.replace([])
    with pytest.raises(Failure) as refused:
        agents.named("a")
    assert refused.value.code is Code.NOT_FOUND
