"""Keys and tokens that must not be believed, and questions that must not be answered."""

import base64
import hashlib
import hmac
import json
import time

import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import KEYS, TOKEN
from penstock.contracts.jobs import TokenReply, TokenRequest
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Question, Reserve
from services.policy.identity.key_file import revoke_key
from tests.services.policy.conftest import Plane, call_tool, complete
from tests.support.eventually import eventually
from tests.support.tokens import TestSigner, base64url


async def refusal(plane: Plane, token: str) -> Failure:
    with pytest.raises(Failure) as raised:
        await plane.evaluate(complete(), token)
    return raised.value


def parts(token: str) -> tuple[dict[str, object], dict[str, object]]:
    header, payload, _ = token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, payload)]
    return read[0], read[1]


async def test_a_key_that_is_not_valid_is_refused_in_the_same_words_whatever_is_wrong(plane: Plane) -> None:
    good = plane.key()
    expired = plane.key(expires=2.0)
    revoked = plane.key()
    revoke_key(plane.folder / "keys.json", revoked.split("_")[1], now=3.0)
    id = good.split("_")[1]
    wrong = [
        "",
        "psk_",
        "psk__",
        id,
        f"psk_{id}_",
        f"psk_{id}_wrong",
        good[:-1],
        good + "x",
        good.upper(),
        f"psk_nobody00_{good.split('_', 2)[2]}",
        expired,
        revoked,
        "psk_" + "a" * 10_000,
        "sk-proj-abc",
        good.replace("psk", "p\u0455k"),
    ]
    async with plane.policy():
        for credential in wrong:
            with pytest.raises(Failure) as raised:
                await plane.authenticate(credential)
            assert (raised.value.code, raised.value.detail) == (Code.UNAUTHENTICATED, "the API key is not valid")
        assert (await plane.authenticate(good)).tenant == "acme"


async def test_keys_and_tokens_are_in_no_log(plane: Plane) -> None:
    good = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(good)).token
        await plane.evaluate(complete(), token)
        with pytest.raises(Failure):
            await plane.authenticate(good + "x")

    logged = "".join(plane.lines)
    assert good.split("_", 2)[2] not in logged
    assert token not in logged


async def test_a_tenants_client_gets_a_token_for_its_own_key_and_not_for_anothers(plane: Plane) -> None:
    own, others = plane.key(), plane.key(tenant="globex")

    bus = await Bus.connect(BusConfig(url=plane.bus.connection.config.url, tenant="acme"))

    async def exchange(credential: str) -> TokenReply:
        return await bus.call(TOKEN, TokenRequest(credential), Meta(), tenant="acme", timeout_s=5)

    async with plane.policy():
        assert (await exchange(own)).tenant == "acme"
        with pytest.raises(Failure) as raised:
            await exchange(others)
        assert (raised.value.code, raised.value.detail) == (Code.UNAUTHENTICATED, "the API key is not valid")
    await bus.close()


async def test_a_revoked_key_ends_its_tokens_within_a_second(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(), token)
        revoke_key(plane.folder / "keys.json", credential.split("_")[1], now=3.0)

        async def refused() -> None:
            assert (await refusal_or_none(plane, token)) is Code.UNAUTHENTICATED

        await eventually(refused, within_s=1.0)


async def refusal_or_none(plane: Plane, token: str) -> Code | None:
    try:
        await plane.evaluate(complete(), token)
    except Failure as failure:
        return failure.code
    return None


async def test_a_broken_keys_file_leaves_the_keys_as_they_were(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        (plane.folder / "keys.json").write_text('{"keys": [', encoding="utf-8")

        async def said() -> None:
            assert "keys refused, the old one stays" in "".join(plane.lines)

        await eventually(said)
        assert (await plane.authenticate(credential)).tenant == "acme"


async def test_what_is_no_token_is_refused(plane: Plane) -> None:
    async with plane.policy():
        for token in ("", "x", "a.b", "a.b.c", "..", "e30.e30.", "é.é.é", "a" * 20_000, "{}"):
            assert (await refusal(plane, token)).code is Code.UNAUTHENTICATED


async def test_a_token_signed_by_somebody_else_is_refused(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy() as host:
        token = (await plane.authenticate(credential)).token
        header, payload = parts(token)
        kid = str(header["kid"])

        assert (await refusal(plane, TestSigner(kid).token(header, **payload))).code is Code.UNAUTHENTICATED
        assert (await refusal(plane, TestSigner("unknown").token(**payload))).code is Code.UNAUTHENTICATED
        # the notary's key is in the same bucket, and may sign no tokens
        notary = TestSigner("notary", use="audit")
        await notary.publish(plane.bus)
        assert (await refusal(plane, notary.token(**payload))).code is Code.UNAUTHENTICATED
        assert host.parts is not None


async def test_a_token_with_another_algorithm_is_refused(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        header, payload = parts(token)
        body = base64url(json.dumps(payload).encode())
        entry = await plane.bus.bucket(KEYS).get(str(header["kid"]))
        assert entry is not None
        for algorithm in ("none", "None", "HS256", "ES256", "RS256", "Ed25519"):
            head = base64url(json.dumps({**header, "alg": algorithm}).encode())
            for signature in ("", token.split(".")[2], hs256(entry.value.public, f"{head}.{body}")):
                assert (await refusal(plane, f"{head}.{body}.{signature}")).code is Code.UNAUTHENTICATED


def hs256(public: str, text: str) -> str:
    """The old trick: the public key as if it were a shared secret."""
    return base64url(hmac.new(public.encode(), text.encode(), hashlib.sha256).digest())


async def test_a_token_that_was_changed_is_refused(plane: Plane) -> None:
    credential = plane.key(scopes=("model.*",))
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        header, _, signature = token.split(".")
        _, claims = parts(token)
        changes: list[dict[str, object]] = [
            {"scope": "*"},
            {"tenant": "globex"},
            {"sub": "user:root"},
            {"exp": 9e9},
            {"accounts": []},
        ]
        for change in changes:
            forged = base64url(json.dumps({**claims, **change}).encode())
            assert (await refusal(plane, f"{header}.{forged}.{signature}")).code is Code.UNAUTHENTICATED


async def test_a_signed_token_with_wrong_claims_is_refused(plane: Plane) -> None:
    signer = TestSigner("replica")
    await signer.publish(plane.bus)
    changes: list[dict[str, object]] = [
        {"exp": 1.0},
        {"nbf": 9e9},
        {"iss": "somebody"},
        {"aud": "elsewhere"},
        {"tenant": "a.b"},
        {"tenant": ""},
        {"sub": ""},
        {"exp": None},
    ]
    async with plane.policy():
        assert (await plane.evaluate(complete(), signer.token(scope="*"))).decision
        for change in changes:
            refused = await refusal(plane, signer.token(**{"scope": "*", **change}))
            assert refused.code is Code.UNAUTHENTICATED, change


async def test_a_token_whose_key_is_unknown_here_is_refused(plane: Plane) -> None:
    signer = TestSigner("replica")
    await signer.publish(plane.bus)
    async with plane.policy():
        assert (await refusal(plane, signer.token(scope="*", key="abcd1234"))).code is Code.UNAUTHENTICATED


async def test_a_token_of_another_tenant_is_refused(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        with pytest.raises(Failure) as raised:
            await plane.evaluate(complete(), token, tenant="globex")
        assert raised.value.code is Code.DENIED


async def test_a_token_does_only_what_its_scopes_and_tools_say(plane: Plane) -> None:
    credential = plane.key(scopes=("tool.call",), tools=("http_get",))
    async with plane.policy():
        token = (await plane.authenticate(credential)).token

        assert (await plane.evaluate(call_tool("http_get"), token)).decision
        other_tool = await plane.evaluate(call_tool("sql"), token)
        other_action = await plane.evaluate(complete(), token)

    assert [reason.text for reason in other_tool.context.reasons] == ["the token's tools do not include sql"]
    assert [reason.text for reason in other_action.context.reasons] == [
        "the token's scopes do not include model.complete"
    ]


async def test_a_question_out_of_bounds_is_invalid_and_says_where(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        for question, param in OUT_OF_BOUNDS:
            with pytest.raises(Failure) as raised:
                await plane.evaluate(question, token)
            assert (raised.value.code, raised.value.param) == (Code.INVALID, param), question
    assert await plane.records() == []


def of_tool(
    attempt: str = "att_1", kind: str = "Tool", name: str = "x", due_s: float = 60.0, reserve: Reserve | None = None
) -> Question:
    return Question(ActionName("tool.call"), Entity(kind, name), attempt=attempt, reserve=reserve, outcome_due_s=due_s)


OUT_OF_BOUNDS = [
    (of_tool(attempt=""), "attempt"),
    (of_tool(attempt="a.b"), "attempt"),
    (of_tool(attempt="a" * 65), "attempt"),
    (Question(ActionName(""), Entity("Tool", "x"), attempt="a"), "action"),
    (of_tool(kind=""), "resource"),
    (of_tool(name="x" * 300), "resource"),
    (of_tool(reserve=Reserve(2**53)), "reserve"),
    (of_tool(reserve=Reserve(-2)), "reserve"),
    (of_tool(reserve=Reserve(0, -1)), "reserve"),
    (of_tool(due_s=1e9), "outcome_due_s"),
    (Question(ActionName("a"), Entity("T", "x"), attempt="a", context={str(n): n for n in range(65)}), "context"),
    (Question(ActionName("a"), Entity("T", "x", {"p": "y" * 3000}), attempt="a"), "properties"),
    (Question(ActionName("a"), Entity("T", "x", {"p": ["y"] * 300}), attempt="a"), "properties"),
]


async def test_a_question_that_the_bundle_has_no_place_for_is_denied_and_recorded(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        for question in UNFIT:
            decision = await plane.evaluate(question, token)
            assert not decision.decision
            assert [reason.policy for reason in decision.context.reasons] == ["schema"], question
    assert [record.effect for record in await plane.decisions()] == ["deny"] * len(UNFIT)


UNFIT = [
    Question(ActionName("shell.run"), Entity("Tool", "x"), attempt="att_1"),
    Question(ActionName("tool.call"), Entity("Model", "x"), attempt="att_2"),
    Question(ActionName("tool.call"), Entity('Tool"', 'x" || true'), attempt="att_3"),
    Question(ActionName("tool.call"), Entity("Tool", "x", {"labels": "destructive"}), attempt="att_4"),
    Question(ActionName("tool.call"), Entity("Tool", "x", {"labels": True}), attempt="att_5"),
    Question(ActionName("tool.call"), Entity("Tool", "x"), attempt="att_6", context={"writes": "no"}),
    Question(ActionName("tool.call"), Entity("Tool", "x"), attempt="att_7", context={"writes": 0}),
]


async def test_facts_about_who_asks_are_the_tokens_and_not_the_questions(plane: Plane) -> None:
    credential = plane.key()
    (plane.folder / "bundle").mkdir()
    (plane.folder / "bundle" / "schema.cedarschema").write_text(
        "entity User = { tenant: String }; entity Tool;"
        'action "tool.call" appliesTo { principal: User, resource: Tool,'
        " context: { depth: Long, run: String, note?: String } };",
        encoding="utf-8",
    )
    (plane.folder / "bundle" / "p.cedar").write_text(
        '@id("shallow") permit (principal, action, resource)'
        ' when { context.depth == 0 && context.run == "" && context has note && context.note == "x" };',
        encoding="utf-8",
    )
    question = Question(
        ActionName("tool.call"),
        Entity("Tool", "x", {"unheard_of": 1}),
        attempt="att_1",
        context={"depth": 7, "run": "run_9", "note": "x", "unheard_of": "y"},
    )
    async with plane.policy(bundle_dir=str(plane.folder / "bundle")):
        token = (await plane.authenticate(credential)).token

        assert (await plane.evaluate(question, token)).decision


async def test_tokens_live_as_long_as_the_settings_say(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy(token_lifetime_s=60.0):
        identity = await plane.authenticate(credential)
    assert 55 < identity.expires - time.time() <= 60
