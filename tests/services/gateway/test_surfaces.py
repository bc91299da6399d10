"""What stands on the wire at the edge, byte for byte where it matters, and what reaches the inside."""

import json

import httpx
import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Loss, RerankRequest, Served, Template, TokenCount, Usage
from tests.services.gateway import samples
from tests.services.gateway.conftest import ScriptedEdge

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
GEMINI = {"contents": [{"parts": [{"text": "hi"}]}]}
TOLD = Served(
    "att_7",
    "second",
    "model-1",
    Usage(9, output=3),
    48_000,
    decision="dec_7",
    losses=(Loss("user", "not passed on"), Loss("tools.0", 'has a "grammar"', True)),
    reason="cheapest that qualifies",
    cached="semantic",
    upstream_ms=1.5,
    overhead_ms={"routing": 0.25, "policy": 0.5},
)


async def test_an_answer_says_who_gave_it_why_and_what_was_lost(edge: ScriptedEdge) -> None:
    edge.router.body, edge.router.served = samples.CHAT, TOLD
    async with edge.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT)
    told = {name: value for name, value in answer.headers.items() if name.startswith("x-penstock-")}
    assert told == {
        "x-penstock-attempt": "att_7",
        "x-penstock-decision": "dec_7",
        "x-penstock-deployment": "second",
        "x-penstock-reason": "cheapest that qualifies",
        "x-penstock-cached": "semantic",
        "x-penstock-losses": '"user";what="not passed on", "tools.0";what="has a \\"grammar\\"";grave',
        "x-penstock-tokens": "12",
        "x-penstock-cost-usd": "0.000048000",
    }
    parts = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert list(parts) == ["total", "upstream", "routing", "policy", "edge"]
    assert (parts["upstream"], parts["routing"], parts["policy"]) == ("1.50", "0.25", "0.50")
    assert float(parts["total"]) > 2.25
    assert float(parts["edge"]) == pytest.approx(float(parts["total"]) - 2.25, abs=0.02)
    assert answer.content == samples.CHAT


async def test_a_stream_says_the_same_in_its_head_but_for_what_is_not_known_yet(edge: ScriptedEdge) -> None:
    edge.router.frames, edge.router.head = samples.CHAT_FRAMES, TOLD
    async with edge.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT | {"stream": True})
    assert answer.headers["x-penstock-deployment"] == "second"
    assert answer.headers["x-penstock-reason"] == "cheapest that qualifies"
    assert answer.headers["x-penstock-losses"].endswith(";grave")
    assert answer.headers["server-timing"].startswith("total;dur=")
    assert "x-penstock-cost-usd" not in answer.headers
    assert answer.content == b"".join(samples.CHAT_FRAMES)


async def test_a_router_that_sends_no_head_is_understood(edge: ScriptedEdge) -> None:
    edge.router.frames, edge.router.head = samples.CHAT_FRAMES, None
    async with edge.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT | {"stream": True})
    assert answer.content == b"".join(samples.CHAT_FRAMES)
    assert "x-penstock-deployment" not in answer.headers


async def test_a_head_with_more_than_a_frame_holds_is_read_and_one_without_end_is_given_up(edge: ScriptedEdge) -> None:
    many = tuple(Loss(f"messages.{n}.name", "x" * 300) for n in range(400))
    edge.router.frames, edge.router.head = samples.CHAT_FRAMES, msgspec.structs.replace(TOLD, losses=many)
    async with edge.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT | {"stream": True})
        edge.router.head, edge.router.frames = None, [b'{"head":1,"served":{"attempt":"' + b"x" * 2_000_000]
        endless = await client.post("/v1/chat/completions", json=CHAT | {"stream": True})
    assert answer.content == b"".join(samples.CHAT_FRAMES)
    assert ";more=3" in answer.headers["x-penstock-losses"]
    assert endless.status_code == 500


async def test_what_comes_after_a_heads_time_is_a_comment(edge: ScriptedEdge) -> None:
    edge.router.frames, edge.router.head, edge.router.wait_s = samples.MESSAGE_FRAMES, TOLD, 0.5
    async with edge.client() as client:
        answer = await client.post("/v1/messages", json=CHAT | {"stream": True})
    assert answer.content.startswith(b'event: ping\ndata: {"type": "ping"}\n\n')
    assert b': x-penstock-losses: "user";what="not passed on", ' in answer.content
    assert b": x-penstock-deployment: second\n" in answer.content
    assert answer.content.endswith(b"\n\n" + b"".join(samples.MESSAGE_FRAMES))


async def test_gemini_clients_get_no_comment_and_no_head_before_the_losses_are_known(edge: ScriptedEdge) -> None:
    edge.router.frames, edge.router.head, edge.router.wait_s = samples.GEMINI_FRAMES, TOLD, 0.7
    async with edge.client(**{"x-penstock-summary": "true"}) as client:
        events = await client.post("/v1beta/models/chat:streamGenerateContent?alt=sse", json=GEMINI)
        listed = await client.post("/v1beta/models/chat:streamGenerateContent", json=GEMINI)
    assert events.content == b"".join(samples.GEMINI_FRAMES)
    for answer in (events, listed):
        assert answer.headers["x-penstock-losses"].endswith(";grave")


@pytest.mark.parametrize(
    ("path", "body", "frames"),
    [
        ("/v1/chat/completions", CHAT | {"stream": True}, samples.CHAT_FRAMES),
        ("/v1/responses", {"model": "chat", "input": "hi", "stream": True}, samples.RESPONSE_FRAMES),
        ("/v1/messages?beta=true", CHAT | {"stream": True}, samples.MESSAGE_FRAMES),
        ("/v1/models/chat:streamGenerateContent?alt=sse", GEMINI, samples.GEMINI_FRAMES),
    ],
)
async def test_streams_are_passed_on_byte_for_byte_and_never_compressed(
    edge: ScriptedEdge, path: str, body: dict[str, object], frames: list[bytes]
) -> None:
    whole = b"".join(frames)
    edge.router.frames = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    async with edge.client(**{"accept-encoding": "gzip, br, zstd"}) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 200
    assert answer.content == whole
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert "content-encoding" not in answer.headers
    assert "content-length" not in answer.headers


async def test_gemini_streams_without_alt_sse_are_one_json_list(edge: ScriptedEdge) -> None:
    whole = b"".join(samples.GEMINI_FRAMES)
    edge.router.frames = [whole[at : at + 5] for at in range(0, len(whole), 5)]
    async with edge.client() as client:
        answer = await client.post("/v1beta/models/chat:streamGenerateContent", json=GEMINI)
        edge.router.frames, edge.router.pause_s = samples.GEMINI_FRAMES, 0.7
        slow = await client.post("/v1beta/models/chat:streamGenerateContent", json=GEMINI)
        edge.router.pause_s = 0.0
        edge.router.breaks = Failure(Code.UPSTREAM, "it went away")
        broken = await client.post("/v1beta/models/chat:streamGenerateContent", json=GEMINI)
        edge.router.frames, edge.router.breaks, edge.router.head = [], None, None
        empty = await client.post("/v1beta/models/chat:streamGenerateContent", json=GEMINI)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    texts = [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in answer.json()]
    assert texts == ["Hel", "lo!"]
    assert slow.json() == answer.json()
    assert broken.json()[-1]["error"]["message"] == "it went away"
    assert empty.json() == []


async def test_a_stream_of_a_response_that_breaks_goes_on_with_its_numbers(edge: ScriptedEdge) -> None:
    edge.router.frames = samples.RESPONSE_FRAMES[:5]
    edge.router.breaks = Failure(Code.UPSTREAM, "it went away", param="input")
    async with edge.client() as client:
        answer = await client.post("/v1/responses", json={"model": "chat", "input": "hi", "stream": True})
    event, data = answer.text.strip().rsplit("\n\n", 1)[1].split("\n")
    assert event == "event: error"
    error = json.loads(data.removeprefix("data: "))
    assert (error["type"], error["sequence_number"], error["code"]) == ("error", 5, "upstream")
    assert error["error"]["message"] == error["message"] == "it went away"


async def test_a_failure_before_the_first_frame_has_its_status_in_every_protocol(edge: ScriptedEdge) -> None:
    edge.router.failure = Failure(Code.RATE_LIMITED, "slowly", retry_after_s=2.0)
    found = []
    async with edge.client() as client:
        for path, body in (
            ("/v1/chat/completions", CHAT | {"stream": True}),
            ("/v1/responses", {"model": "chat", "input": "hi", "stream": True}),
            ("/v1/messages", CHAT | {"stream": True}),
            ("/v1beta/models/chat:streamGenerateContent", GEMINI),
            ("/v1beta/models/chat:streamGenerateContent?alt=sse", GEMINI),
        ):
            answer = await client.post(path, json=body)
            found.append((answer.status_code, answer.headers["retry-after"], answer.json()["error"]["message"]))
    assert found == [(429, "2", "slowly")] * 5


async def test_what_callers_ask_for_reaches_the_router_and_nothing_else_does(edge: ScriptedEdge) -> None:
    edge.router.body = samples.MESSAGE
    headers = {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "one, two",
        "openai-beta": "three",
        "x-claude-code-session-id": "session 1",
        "x-penstock-labels": "team=north, task=triage",
        "x-penstock-losses": "accept",
        "x-penstock-cache": "refresh",
        "x-penstock-prompt": "greeting@3",
        "x-penstock-variables": '{"name":"Ada","n":[1]}',
        "x-stainless-lang": "python",
        "cookie": "a=b",
        "x-codex-turn-metadata": "x" * 1200,
    }
    async with edge.client(**headers) as client:
        assert (await client.post("/v1/messages", json={"model": "chat"})).status_code == 200
    asked = edge.router.completion
    assert asked.headers == {"anthropic-beta": "one, two", "anthropic-version": "2026-10-21", "openai-beta": "three"}
    assert (asked.session, asked.losses, asked.cache) == ("session 1", "accept", "refresh")
    assert asked.labels == {"team": "north", "task": "triage"}
    assert asked.prompt == Template("greeting", "3", {"name": msgspec.Raw(b'"Ada"'), "n": msgspec.Raw(b"[1]")})


@pytest.mark.parametrize("place", ["authorization", "x-api-key", "x-goog-api-key", "query"])
async def test_a_key_goes_no_further_than_the_edge(edge: ScriptedEdge, place: str) -> None:
    edge.router.body = samples.CHAT
    headers = {"authorization": f"Bearer {edge.key}"} if place == "authorization" else {place: edge.key}
    query = {"key": edge.key} if place == "query" else {}
    async with httpx.AsyncClient(base_url=edge.url, headers={} if query else headers) as client:
        for path in ("/v1/chat/completions", "/v1/messages"):
            assert (await client.post(path, json=CHAT, params=query)).status_code == 200
        gemini = await client.post("/v1/models/chat:generateContent", json=GEMINI, params=query)
        assert (await client.get("/nowhere", params=query)).status_code == 404
    assert gemini.status_code == 200
    inside = b"".join(msgspec.json.encode(asked) for asked in edge.router.asked)
    secret = edge.key.rpartition("_")[2].encode()
    assert secret not in inside + msgspec.json.encode(edge.router.metas)
    assert not any(edge.key in line for line in edge.lines)


async def test_two_different_keys_are_refused_and_the_same_twice_is_one(edge: ScriptedEdge) -> None:
    other = f"Bearer {edge.key}x"
    async with httpx.AsyncClient(base_url=edge.url, headers={"x-api-key": edge.key}) as client:
        both = await client.get("/v1/models", headers={"authorization": f"Bearer {edge.key}"}, params={"key": edge.key})
        two = await client.get("/v1/models", headers={"authorization": other})
        query = await client.get("/v1/models", params={"key": "another"})
        same = await client.get("/v1/models", headers=[("x-api-key", edge.key), ("x-api-key", "another")])
        basic = await client.get("/v1/models", headers={"authorization": "Basic abc"})
    assert (both.status_code, basic.status_code) == (200, 200)
    for answer in (two, query, same):
        assert answer.status_code == 401
        assert "two different API keys" in answer.text
        assert edge.key not in answer.text


async def test_lists_of_models_have_the_form_of_who_asks(edge: ScriptedEdge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:

        async def keys(path: str, **headers: str) -> set[str]:
            return set((await client.get(path, headers=headers)).json())

        bearer = f"Bearer {edge.key}"
        assert await keys("/v1/models", authorization=bearer) == {"object", "data"}
        anthropic = {"data", "has_more", "first_id", "last_id"}
        assert await keys("/v1/models", authorization=bearer, **{"anthropic-version": "2026-10-21"}) == anthropic
        assert await keys("/v1/models", **{"x-api-key": edge.key}) == anthropic
        assert await keys("/v1/models", **{"x-goog-api-key": edge.key}) == {"models"}
        assert await keys("/v1beta/models", authorization=bearer) == {"models"}
        assert await keys(f"/v1/models?key={edge.key}") == {"models"}


async def test_the_root_answers_who_tries_it(edge: ScriptedEdge) -> None:
    async with edge.client() as client:
        head, get = await client.head("/"), await client.get("/")
    assert (head.status_code, head.content, get.json()) == (200, b"", {"name": "penstock"})


@pytest.mark.parametrize("document", [{"text": "two"}, "two"])
async def test_documents_are_ranked(edge: ScriptedEdge, document: object) -> None:
    ask = {"model": "rank", "query": "which?", "documents": ["one", document], "top_n": 2}
    async with edge.client() as client:
        short = await client.post("/v2/rerank", json=ask)
        long = await client.post("/v1/rerank", json=ask | {"return_documents": True, "max_tokens_per_doc": 9})
        refused = await client.post(
            "/v1/rerank", json=ask | {"max_tokens_per_doc": 9}, headers={"x-penstock-losses": "refuse"}
        )
    assert short.json()["results"] == [{"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.25}]
    assert short.json()["usage"] == {"total_tokens": 12}
    assert short.json()["meta"] == {"billed_units": {"search_units": 1}}
    assert long.json()["results"][0]["document"] == {"text": "two"}
    assert long.headers["x-penstock-losses"] == '"max_tokens_per_doc";what="not passed on"'
    assert refused.status_code == 400
    assert edge.router.asked == [RerankRequest("rank", "which?", ["one", "two"], 2)] * 2


async def test_a_count_of_ours_says_that_it_is_one(edge: ScriptedEdge) -> None:
    edge.router.counted = TokenCount(7, True)
    whole = {"generateContentRequest": {"model": "models/chat", **GEMINI}}
    async with edge.client() as client:
        anthropic = await client.post("/v1/messages/count_tokens", json=CHAT)
        gemini = await client.post("/v1beta/models/chat:countTokens", json=whole)
    assert anthropic.json() == {"input_tokens": 7}
    assert gemini.json() == {"totalTokens": 7}
    assert anthropic.headers["x-penstock-estimated"] == gemini.headers["x-penstock-estimated"] == "true"


async def test_one_text_is_embedded_in_either_spelling_of_its_fields(edge: ScriptedEdge) -> None:
    content = {"parts": [{"text": "one"}]}
    async with edge.client() as client:
        for more in (
            {"outputDimensionality": 2},
            {"output_dimensionality": 2},
            {"embedContentConfig": {"outputDimensionality": 2}},
        ):
            answer = await client.post("/v1beta/models/embed:embedContent", json={"content": content, **more})
            assert answer.json() == {"embedding": {"values": [0.5, -1.0]}, "usageMetadata": {"promptTokenCount": 9}}
            assert edge.router.asked[-1].dimensions == 2  # type: ignore[union-attr]  # it is an EmbedRequest
        task = await client.post(
            "/v1beta/models/embed:embedContent", json={"content": content, "taskType": "RETRIEVAL_QUERY"}
        )
    assert task.headers["x-penstock-losses"].startswith('"taskType";what=')


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/responses", {"input": "hi"}, "model"),
        ("/v1/messages", {"model": "chat"}, "messages"),
        ("/v1/messages", {"model": "chat", "messages": "hi"}, "messages"),
        ("/v1/messages/count_tokens", {"messages": []}, "model"),
        ("/v1/embeddings", {"model": "embed", "input": []}, "input"),
        ("/v1/embeddings", {"model": "embed", "input": ["a", ""]}, "input"),
        ("/v1/embeddings", {"model": "embed", "input": "a", "encoding_format": "hex"}, "encoding_format"),
        ("/v1/embeddings", {"model": "embed", "input": "a", "dimensions": 0}, "dimensions"),
        ("/v1/rerank", {"model": "rank", "query": "", "documents": ["a"]}, "query"),
        ("/v1/rerank", {"model": "rank", "query": "a", "documents": []}, "documents"),
        ("/v1/rerank", {"model": "rank", "query": "a", "documents": ["b"], "top_n": 0}, "top_n"),
        ("/v1/models/chat:generateContent", {}, "contents"),
        ("/v1/models/chat:countTokens", {}, "contents"),
        ("/v1/models/embed:embedContent", {"content": {"parts": [{"inlineData": {}}]}}, "content"),
        ("/v1/models/embed:batchEmbedContents", {"requests": []}, "requests"),
    ],
)
async def test_a_request_without_what_it_needs_is_400_and_names_the_field(
    edge: ScriptedEdge, path: str, body: dict[str, object], field: str
) -> None:
    async with edge.client() as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 400
    assert field in json.dumps(answer.json()["error"])
    assert edge.router.asked == []


@pytest.mark.parametrize("path", ["/v1/models/chat:dance", "/v1beta/models/chat", "/v1beta/models/:generateContent"])
async def test_a_method_that_there_is_not_is_404_in_geminis_form(edge: ScriptedEdge, path: str) -> None:
    async with edge.client() as client:
        answer = await client.post(path, json=GEMINI)
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


async def test_a_client_that_waits_for_so_long_is_worked_for_no_longer(edge: ScriptedEdge) -> None:
    edge.router.wait_s = 30.0
    async with edge.client(**{"x-server-timeout": "1"}) as client:
        answer = await client.post("/v1beta/models/chat:generateContent", json=GEMINI)
    assert (answer.status_code, answer.json()["error"]["status"]) == (504, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize("host", ["[", "a/v1/messages?", "x" * 3000])
async def test_a_host_that_is_none_changes_nothing(edge: ScriptedEdge, host: str) -> None:
    async with edge.client(host=host) as client:
        found = await client.get("/v1/models")
        unknown = await client.get("/v1/nothing")
    assert (found.status_code, found.json()["object"]) == (200, "list")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
