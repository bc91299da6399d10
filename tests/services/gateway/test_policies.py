"""Bundles, past decisions and AuthZEN over HTTP."""

from pathlib import Path

import httpx
import pytest

from penstock.contracts.errors import Code, Failure
from services.gateway import authzen
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.rulebook import STARTER
from services.policy.rules.sources import read_sources
from tests.services.gateway.conftest import ScriptedEdge
from tests.support.eventually import eventually

CLOSED = (
    '@id("closed") @reason("closed for today")\n'
    'forbid (principal, action == Action::"model.complete", resource == Model::"large");\n'
)


async def operator(edge: ScriptedEdge, folder: Path) -> str:
    """The key of somebody who may publish."""
    scopes = ("*", "bundle:admin", "decision:admin")
    key = create_key(folder / "keys.json", ApiKey("", "", "operator", "user:olga", scopes=scopes), now=1.0)[1]

    async def known() -> None:
        async with edge.client(key) as client:
            assert (await client.get("/v1/policy/bundles")).status_code == 200

    await eventually(known, within_s=20)
    return key


def question(**more: object) -> dict[str, object]:
    asked: dict[str, object] = {
        "subject": {"type": "user", "id": "alice"},
        "action": {"name": "model.complete"},
        "resource": {"type": "Model", "id": "large"},
    }
    return asked | more


async def test_a_bundle_is_published_read_and_rolled_back(edge: ScriptedEdge, tmp_path: Path) -> None:
    files = read_sources(STARTER)
    async with edge.client(await operator(edge, tmp_path)) as client:
        first = await client.post("/v1/policy/bundles", json={"files": files, "note": "as it was"})
        assert (first.status_code, first.json()["number"]) == (201, 1)
        closed = await client.post("/v1/policy/bundles", json={"files": {**files, "more.cedar": CLOSED}, "expects": 1})
        version = closed.json()["version"]
        assert closed.headers["location"] == f"/v1/policy/bundles/{version}"
        late = await client.post("/v1/policy/bundles", json={"files": files, "expects": 1})
        assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
        bad = await client.post("/v1/policy/bundles", json={"files": {**files, "more.cedar": "permit (principal"}})
        assert (bad.status_code, "more.cedar cannot be read" in bad.json()["error"]["message"]) == (400, True)
        listed = (await client.get("/v1/policy/bundles?limit=1")).json()
        assert [one["number"] for one in listed["publications"]] == [2]
        assert (await client.get("/v1/policy/bundles/current")).json()["files"]["more.cedar"] == CLOSED
        assert (await client.get("/v1/policy/bundles/" + "0" * 64)).status_code == 404

        async with edge.client() as user:
            refused = (await user.post("/access/v1/evaluation", json=question())).json()
            assert (refused["decision"], refused["context"]["reasons"][0]["text"]) == (False, "closed for today")
            assert (await user.post("/v1/policy/bundles", json={"files": files})).status_code == 403
            assert (await user.get("/v1/policy/decisions")).status_code == 403
        explained = f"/v1/policy/decisions/{refused['context']['id']}/explanation"
        why = (await client.get(explained, params={"tenant": "acme"})).json()
        assert (why["bundle"], why["rules"][0]["id"]) == (version, "closed")
        page = (await client.get("/v1/policy/decisions", params={"tenant": "acme", "limit": 1})).json()
        assert page["decisions"][0]["record"]["decision"] == refused["context"]["id"]

        back = await client.post("/v1/policy/rollback", json={})
        assert (back.status_code, back.json()["version"]) == (200, first.json()["version"])


async def test_authzen_answers_one_and_several(edge: ScriptedEdge) -> None:
    async with edge.client() as client:
        one = (await client.post("/access/v1/evaluation", json=question())).json()
        assert (one["decision"], one["context"]["effect"]) == (True, "allow")
        unnamed = question()
        del unnamed["subject"]
        assert (await client.post("/access/v1/evaluation", json=unnamed)).json()["decision"]
        tool = {"name": "tools/call"}
        several = question(
            action=tool,
            evaluations=[
                {"resource": {"type": "tool", "id": "drop", "properties": {"labels": ["destructive"]}}},
                {"resource": {"type": "tool", "id": "look", "properties": {"effect": "read"}}},
            ],
        )
        answers = (await client.post("/access/v1/evaluations", json=several)).json()["evaluations"]
        assert [answer["decision"] for answer in answers] == [False, True]
        assert answers[0]["context"]["reasons"][0]["policy"] == "destructive-tools"
        first = several | {"options": {"evaluations_semantic": "deny_on_first_deny"}}
        assert len((await client.post("/access/v1/evaluations", json=first)).json()["evaluations"]) == 1
        alone = await client.post("/access/v1/evaluations", json=question())
        assert alone.json()["decision"] is True


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (question(subject={"type": "user", "id": "bob"}), 403),
        (question(subject={"type": "workload", "id": "alice"}), 403),
        (question(action=None), 400),
        (question(context={"deep": {"er": 1}}), 400),
        (question(resource={"type": "Model", "id": ""}), 400),
        (question(subject="alice"), 400),
    ],
)
async def test_what_authzen_does_not_take(edge: ScriptedEdge, asked: dict[str, object], status: int) -> None:
    async with edge.client() as client:
        assert (await client.post("/access/v1/evaluation", json=asked)).status_code == status
        several = {"evaluations": [asked]}
        assert (await client.post("/access/v1/evaluations", json=several)).status_code == status


async def test_authzen_needs_a_key(edge: ScriptedEdge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        assert (await client.post("/access/v1/evaluation", json=question())).status_code == 401


async def test_without_an_address_of_its_own_the_edge_describes_no_decision_point(edge: ScriptedEdge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        assert (await client.get(authzen.WELL_KNOWN)).status_code == 404


def test_the_metadata_names_the_endpoints() -> None:
    assert authzen.configuration("https://plane.example.com") == {
        "policy_decision_point": "https://plane.example.com",
        "access_evaluation_endpoint": "https://plane.example.com/access/v1/evaluation",
        "access_evaluations_endpoint": "https://plane.example.com/access/v1/evaluations",
    }


def test_arguments_of_a_tool_are_no_fact() -> None:
    asked = authzen.Evaluation(
        action=authzen.Action("tool.call"),
        resource=authzen.Resource("Tool", "refund"),
        context={"input": {"amount": 5}, "tables": ["orders"], "writes": True},
    )
    found = authzen.single(asked, "user:alice")

    assert (bytes(found.input), found.context) == (b'{"amount":5}', {"tables": ["orders"], "writes": True})


def test_too_many_at_once_are_refused() -> None:
    with pytest.raises(Failure) as caught:
        authzen.several(authzen.Several(evaluations=[authzen.Evaluation()] * 101), "user:alice")
    assert caught.value.code is Code.TOO_LARGE
