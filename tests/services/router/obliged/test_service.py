"""Obligations under the real policy service: what reaches the provider, what reaches the caller, what is recorded."""

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ANTHROPIC_MESSAGES, CompletionHead, CompletionRequest, EmbedRequest, ResumeRequest
from penstock.contracts.subjects import LLM_COMPLETE, LLM_EMBED, LLM_RESUME, LLM_STREAM
from penstock.kit.config import Secret
from tests.services.router.conftest import Plane, Streamed, asking
from tests.support.model_server import Line, Received, calls, embeddings, plain, streamed

REDACTED = """
@id("no-addresses")
@obligation("redact:EMAIL; cap:7")
permit (principal, action == Action::"model.complete", resource) unless { principal.scopes.contains("cleared") };
@id("no-numbers")
@obligation("redact_input:CARD")
permit (principal, action == Action::"model.embed", resource);
"""
ALIASED = """
@id("aliases")
@obligation("pseudonymise:EMAIL")
permit (principal, action == Action::"model.complete", resource);
"""
PINNED = """
@id("pin")
@obligation("pin:two")
permit (principal, action == Action::"model.complete", resource);
"""
FACTS = """
@id("no-secrets")
@reason("secrets stay here")
forbid (principal, action == Action::"model.complete", resource)
when { context has secrets && context.secrets };
@id("no-cards")
forbid (principal, action == Action::"model.complete", resource)
when { context has personal && context.personal.contains("CARD") };
@id("only-screened")
forbid (principal, action == Action::"model.complete", resource) unless { context has personal };
"""
UNKNOWN = """
@id("names")
@obligation("redact:NAMES_OF_SHIPS")
permit (principal, action == Action::"model.complete", resource);
"""
CLEARED = ("*", "cleared")
ASK = [
    {"role": "user", "content": "Mail alice@example.com"},
    {
        "role": "assistant",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": '{"mail": "bob@example.org", "n": 1}'},
]


async def echo(line: Line, request: Received) -> None:
    """The first message again, in frames that cut placeholders."""
    messages = request.fields["messages"]
    assert isinstance(messages, list)
    text = str(messages[0]["content"])
    reply = streamed(*[text[at : at + 3] for at in range(0, len(text), 3)]) if request.streamed else plain(text)
    await reply(line, request)


def deltas(seen: Streamed) -> str:
    text = ""
    for line in seen.text.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in msgspec.json.decode(line[6:])["choices"]:
                text += choice["delta"].get("content") or ""
    return text


@pytest.mark.policies(REDACTED)
async def test_a_prompt_and_its_answer_are_redacted_and_the_output_is_capped(plane: Plane) -> None:
    plane.server.script(plain("I wrote to carol@example.net."))
    async with plane.router():
        completion = await plane.complete(messages=ASK, temperature=0.25)
        [outcome] = await plane.outcomes(1)
    [received] = plane.server.received
    assert b"@example" not in received.body
    assert received.fields["max_completion_tokens"] == 7
    assert received.fields["temperature"] == 0.25
    assert received.fields["messages"] == [
        {"role": "user", "content": "Mail [EMAIL]"},
        ASK[1],
        {"role": "tool", "tool_call_id": "call_1", "content": '{"mail":"[EMAIL]","n":1}'},
    ]
    assert msgspec.json.decode(completion.body)["choices"][0]["message"]["content"] == "I wrote to [EMAIL]."
    assert outcome.applied == {"cap": 1, "redact_input:EMAIL": 2, "redact_output:EMAIL": 1}
    assert (outcome.status, outcome.losses) == ("ok", ("answer",))


@pytest.mark.policies(REDACTED)
async def test_a_stream_is_redacted_across_its_frames(plane: Plane) -> None:
    plane.server.script(streamed("I wrote to car", "ol@exam", "ple", ".net and am done."))
    async with plane.router():
        seen = await plane.stream(messages=ASK)
        [outcome] = await plane.outcomes(1)
    assert deltas(seen) == "I wrote to [EMAIL] and am done."
    assert outcome.applied["redact_output:EMAIL"] == 1


@pytest.mark.policies(REDACTED)
async def test_the_arguments_of_a_tool_call_are_redacted_in_a_stream(plane: Plane) -> None:
    plane.server.script(calls("mail", '{"to": "carol@example.net"}'))
    async with plane.router():
        seen = await plane.stream(messages=ASK)
    assert b"carol" not in seen.text
    assert b'{\\"to\\":\\"[EMAIL]\\"}' in seen.text


@pytest.mark.policies(REDACTED)
async def test_a_translated_request_is_redacted_too(plane: Plane) -> None:
    plane.server.script(plain("I wrote to carol@example.net."))
    body = {"model": "chat", "max_tokens": 50, "system": "of dan@example.com", "messages": [ASK[0]]}
    async with plane.router():
        asked = CompletionRequest("chat", msgspec.Raw(msgspec.json.encode(body)), surface=ANTHROPIC_MESSAGES)
        completion = await plane.bus.call(LLM_COMPLETE, asked, plane.meta())
    [received] = plane.server.received
    assert b"@example" not in received.body
    assert received.fields["max_completion_tokens"] == 7
    assert msgspec.json.decode(completion.body)["content"][0]["text"] == "I wrote to [EMAIL]."


@pytest.mark.policies(REDACTED)
async def test_texts_to_embed_are_redacted(plane: Plane) -> None:
    plane.deploy("vectors", "three", kinds=["embeddings"])
    plane.server.script(embeddings())
    async with plane.router():
        await plane.bus.call(LLM_EMBED, EmbedRequest("vectors", ["pay 4111 1111 1111 1111", "x"]), plane.meta())
        [outcome] = await plane.outcomes(1)
    assert plane.server.received[0].fields["input"] == ["pay [CARD]", "x"]
    assert outcome.applied == {"redact_input:CARD": 1}


@pytest.mark.policies(ALIASED)
async def test_placeholders_go_out_and_addresses_come_back(plane: Plane) -> None:
    plane.server.script(echo)
    async with plane.router():
        completion = await plane.complete(messages=ASK)
        [outcome] = await plane.outcomes(1)
        seen = await plane.stream(messages=ASK)
    received = plane.server.received[0]
    assert b"@example" not in received.body
    assert b"[EMAIL_1_" in received.body
    assert b"[EMAIL_2_" in received.body
    assert msgspec.json.decode(completion.body)["choices"][0]["message"]["content"] == "Mail alice@example.com"
    assert deltas(seen) == "Mail alice@example.com"
    assert outcome.applied == {"pseudonymise:EMAIL": 2}


@pytest.mark.policies(PINNED)
async def test_the_pinned_deployment_answers_whoever_is_first(plane: Plane) -> None:
    plane.server.script(plain("Hello!"))
    async with plane.router():
        completion = await plane.complete()
        outcomes = await plane.outcomes(2)
    assert completion.served.deployment == "two"
    assert [received.model for received in plane.server.received] == ["two"]
    assert [(each.status, each.code, each.cost_nano > 0) for each in outcomes] == [
        ("error", "denied", False),
        ("ok", "", True),
    ]
    assert outcomes[1].applied == {"pin": 1}


@pytest.mark.policies(PINNED)
async def test_nobody_answers_in_place_of_the_pinned_deployment(plane: Plane) -> None:
    del plane.deployments["two"]
    plane.deploy("chat", "one", "three")
    async with plane.router():
        with pytest.raises(Failure) as refused:
            await plane.complete()
    assert (refused.value.code, plane.server.received) == (Code.DENIED, [])


@pytest.mark.policies(UNKNOWN)
async def test_what_nobody_can_find_is_not_redacted_but_refused(plane: Plane) -> None:
    async with plane.router():
        with pytest.raises(Failure, match="NAMES_OF_SHIPS") as refused:
            await plane.complete()
    assert (refused.value.code, plane.server.received) == (Code.DENIED, [])


@pytest.mark.policies(FACTS)
async def test_policy_is_told_what_is_in_a_prompt(plane: Plane) -> None:
    plane.server.script(plain("Hello!"))
    async with plane.router():
        await plane.complete()
        with pytest.raises(Failure, match="secrets stay here"):
            await plane.complete(messages=[{"role": "user", "content": "key AKIAIOSFODNN7EXAMPLA"}])
        with pytest.raises(Failure, match="no-cards"):
            await plane.complete(messages=[{"role": "user", "content": "pay with 4111 1111 1111 1111"}])
    assert len(plane.server.received) == 1


@pytest.mark.policies(FACTS)
async def test_where_nobody_looks_policy_is_told_nothing(plane: Plane) -> None:
    async with plane.router(screen=False):
        with pytest.raises(Failure, match="only-screened"):
            await plane.complete()


@pytest.mark.policies(REDACTED)
async def test_an_answer_is_kept_for_those_with_the_same_obligations_alone(plane: Plane) -> None:
    plane.aliases["chat"] = {"deployments": ["one", "two"], "cache": {"scope": "tenant"}}
    plane.server.script(plain("I wrote to carol@example.net."))
    said: list[tuple[str, str]] = []
    async with plane.router(store_url=Secret(plane.valkey.url)):
        for scopes, name in (
            (("*",), "alice"),
            (("*", "cleared"), "bob"),
            (("*", "cleared"), "carl"),
            (("*",), "dora"),
        ):
            await plane.log_in(scopes=scopes, subject=f"user:{name}")
            completion = await plane.complete()
            content = msgspec.json.decode(completion.body)["choices"][0]["message"]["content"]
            said.append((content, completion.served.cached))
    assert said == [
        ("I wrote to [EMAIL].", ""),
        ("I wrote to carol@example.net.", ""),
        ("I wrote to carol@example.net.", "exact"),
        ("I wrote to [EMAIL].", ""),
    ]


@pytest.mark.policies(REDACTED)
async def test_a_kept_stream_is_given_again_under_the_same_obligations_alone(plane: Plane) -> None:
    plane.server.script(streamed("I wrote to car", "ol@example.net."))
    request = msgspec.structs.replace(asking("chat"), headed=True, resumable=True)
    async with plane.router():
        async with plane.bus.stream(LLM_STREAM, request, plane.meta()) as reader:
            head = msgspec.json.decode(await anext(aiter(reader)), type=CompletionHead)
            async for _ in reader:
                pass
        again = Streamed()
        async with plane.bus.stream(LLM_RESUME, ResumeRequest(head.stream), plane.meta()) as reader:
            again.frames = [bytes(frame) async for frame in reader]
        await plane.log_in(scopes=CLEARED)
        with pytest.raises(Failure, match="other obligations"):
            async with plane.bus.stream(LLM_RESUME, ResumeRequest(head.stream), plane.meta()) as reader:
                async for _ in reader:
                    pass
    assert deltas(again) == "I wrote to [EMAIL]."
