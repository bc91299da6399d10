"""Models in every protocol: HTTP in, bus out. Each runs after the caller was authenticated (app.py)."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import msgspec

from penstock.bus import Bus, StreamReader
from penstock.contracts import subjects
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.llm import (
    HEAD_START,
    REFUSE_LOSSES,
    CompletionEnd,
    CompletionHead,
    CompletionRequest,
    CountRequest,
    Embeddings,
    EmbedRequest,
    Loss,
    ModelsRequest,
    ResponseRef,
    ResumeRequest,
    Served,
    TokenCount,
)
from services.gateway import served
from services.gateway.asks import Asks, asks, upstream
from services.gateway.config import Config
from services.gateway.dialects import anthropic, by_path, embeddings, gemini, gemini_embeddings, openai, rerank
from services.gateway.dialects import responses as responses_dialect
from services.gateway.dialects.dialect import Form
from services.gateway.exchange import Exchange
from services.gateway.intake import Intake
from services.gateway.leaving import WhileConnected
from services.gateway.relays import relay
from services.gateway.request import number
from services.gateway.sse import Relay

HEAD_MAX_BYTES = 1024 * 1024
"""Of what is said of an answer before it begins: a list of losses grows with the request."""

_heads = msgspec.json.Decoder(CompletionHead)


class ModelRoutes:
    """Every method returns the HTTP status that it sent, or raises Failure before it sent anything."""

    def __init__(self, bus: Bus, config: Config, intake: Intake) -> None:
        self._bus = bus
        self._config = config
        self._intake = intake

    async def chat_completions(self, exchange: Exchange) -> int:
        """POST /v1/chat/completions, plain or streamed."""
        wanted = asks(exchange.fields)
        async with self._intake.body(exchange) as body:
            model, streamed = openai.chat_head(body, templated=wanted.prompt is not None)
            return await self._generate(exchange, wanted, model, body, streamed=streamed)

    async def responses(self, exchange: Exchange) -> int:
        """POST /v1/responses, plain or streamed."""
        wanted = asks(exchange.fields)
        async with self._intake.body(exchange) as body:
            model, streamed = responses_dialect.response_head(body)
            return await self._generate(exchange, wanted, model, body, streamed=streamed)

    async def response(self, exchange: Exchange) -> int:
        """GET /v1/responses/{id}: a stored one of the caller's own."""
        if exchange.request.query_params.get("stream") == "true":
            raise Failure(Code.INVALID, "a stored response is given whole and not streamed again", param="stream")
        stored = await self._bus.call(subjects.LLM_RESPONSE_GET, _response(exchange), exchange.meta)
        return await exchange.reply(bytes(stored.body))

    async def delete_response(self, exchange: Exchange) -> int:
        """DELETE /v1/responses/{id}"""
        gone = await self._bus.call(subjects.LLM_RESPONSE_DELETE, _response(exchange), exchange.meta)
        return await exchange.reply(responses_dialect.deleted(gone.id))

    async def count_input_tokens(self, exchange: Exchange) -> int:
        """POST /v1/responses/input_tokens"""
        async with self._intake.body(exchange) as body:
            model, _ = responses_dialect.response_head(body)
            counted = await self._count(exchange, model, body)
        return await exchange.reply(responses_dialect.count(counted), headers=_counted(counted))

    async def messages(self, exchange: Exchange) -> int:
        """POST /v1/messages, plain or streamed."""
        wanted = asks(exchange.fields)
        async with self._intake.body(exchange) as body:
            model, streamed = anthropic.message_head(body, templated=wanted.prompt is not None)
            return await self._generate(exchange, wanted, model, body, streamed=streamed)

    async def count_tokens(self, exchange: Exchange) -> int:
        """POST /v1/messages/count_tokens"""
        async with self._intake.body(exchange) as body:
            model, _ = anthropic.message_head(body)
            counted = await self._count(exchange, model, body)
        return await exchange.reply(anthropic.count(counted), headers=_counted(counted))

    async def gemini(self, exchange: Exchange) -> int:
        """POST /v1/models/{model}:{method}, and the same below /v1beta."""
        model, method = gemini.model_and_method(exchange.request.path_params["call"])
        async with self._intake.body(exchange) as body:
            if method in ("generateContent", "streamGenerateContent"):
                return await self._generate_content(exchange, model, body, streamed=method != "generateContent")
            if method == "countTokens":
                gemini.check_count(body)
                counted = await self._count(exchange, model, body)
                return await exchange.reply(gemini.count(counted), headers=_counted(counted))
            if method == "embedContent":
                asked, losses = gemini_embeddings.read_one(model, body)
                found = await self._embed(exchange, asked, losses)
                return await self._answer(exchange, gemini_embeddings.write_one(found), found.served)
            if method == "batchEmbedContents":
                asked, losses = gemini_embeddings.read_batch(model, body)
                found = await self._embed(exchange, asked, losses)
                return await self._answer(exchange, gemini_embeddings.write_batch(found), found.served)
        raise Failure(Code.NOT_FOUND, f"there is no method {method[:80]!r}")

    async def embeddings(self, exchange: Exchange) -> int:
        """POST /v1/embeddings"""
        async with self._intake.body(exchange) as body:
            asked = embeddings.read(body)
            found = await self._embed(exchange, asked.request, asked.losses)
        return await self._answer(exchange, embeddings.write(asked.request.model, found, asked.encoding), found.served)

    async def rerank(self, exchange: Exchange) -> int:
        """POST /v1/rerank"""
        async with self._intake.body(exchange) as body:
            asked = rerank.read(body)
            _refuse_losses(exchange, asked.losses)
            async with WhileConnected(exchange.request.receive):
                ranked = await self._bus.call(subjects.LLM_RERANK, asked.request, exchange.meta)
        answer = rerank.write(asked, ranked, exchange.meta.request)
        return await self._answer(exchange, answer, _with_losses(ranked.served, asked.losses))

    async def resume(self, exchange: Exchange) -> int:
        """GET /v1/streams/{id}: a kept stream of the caller's own, after the event that `Last-Event-ID` or `?after=`
        names, in the protocol that it was asked for in."""
        summary = asks(exchange.fields).summary
        async with self._bus.stream(subjects.LLM_RESUME, _resume(exchange), exchange.meta) as reader:
            async with WhileConnected(exchange.request.receive):
                head = await _first(reader)
            if exchange.request.method == "HEAD":
                return await exchange.reply(b"", headers={"x-penstock-stream": head.stream})
            exchange = replace(exchange, dialect=by_path.dialect_of_surface(head.surface))
            out = relay(exchange, exchange.dialect.form(exchange.meta.request), self._config)
            _introduce(exchange, head, out)
            return exchange.status(await out.run(self._events(exchange, reader, out, headed=False, summary=summary)))

    async def models(self, exchange: Exchange) -> int:
        """GET /v1/models and /v1beta/models: those that the caller may use."""
        models = await self._bus.call(subjects.LLM_MODELS, ModelsRequest(), exchange.meta)
        return await exchange.reply(exchange.dialect.model_list(models))

    async def model(self, exchange: Exchange) -> int:
        """GET /v1/models/{id} and /v1beta/models/{id}"""
        models = await self._bus.call(subjects.LLM_MODELS, ModelsRequest(), exchange.meta)
        return await exchange.reply(exchange.dialect.one_model(models, exchange.request.path_params["id"]))

    async def _generate_content(self, exchange: Exchange, model: str, body: bytes, *, streamed: bool) -> int:
        wanted = asks(exchange.fields)
        gemini.check_contents(body, templated=wanted.prompt is not None)
        form = None
        if streamed and exchange.request.query_params.get("alt") != "sse":
            form = by_path.GEMINI.list_form(exchange.meta.request)
        return await self._generate(exchange, wanted, model, body, streamed=streamed, form=form)

    async def _generate(
        self, exchange: Exchange, wanted: Asks, model: str, body: bytes, *, streamed: bool, form: Form | None = None
    ) -> int:
        request = wanted.request(exchange.dialect.surface, model, body, streamed=streamed)
        if streamed:
            form = form or exchange.dialect.form(exchange.meta.request)
            out = relay(exchange, form, self._config)
            return exchange.status(await out.run(self._frames(exchange, request, out, summary=wanted.summary)))
        async with WhileConnected(exchange.request.receive):
            completion = await self._bus.call(subjects.LLM_COMPLETE, request, exchange.meta)
        return await self._answer(exchange, bytes(completion.body), completion.served)

    async def _frames(
        self, exchange: Exchange, request: CompletionRequest, out: Relay, *, summary: bool
    ) -> AsyncGenerator[bytes, None]:
        async with self._bus.stream(subjects.LLM_STREAM, request, exchange.meta) as reader:
            async for frame in self._events(exchange, reader, out, headed=True, summary=summary):
                yield frame

    async def _events(
        self, exchange: Exchange, reader: StreamReader[CompletionEnd], out: Relay, *, headed: bool, summary: bool
    ) -> AsyncGenerator[bytes, None]:
        """The events of the answer. What is known before the first goes into the answer's head, what is known after the
        last into a comment, if the caller wants one."""
        head: bytes | None = b"" if headed else None
        async for frame in reader:
            if head is not None and (head or frame.startswith(HEAD_START)):
                head += frame
                read = _head(head)
                if read is None:
                    continue
                _introduce(exchange, read, out)
            else:
                yield frame
            head = None
        if summary:
            by = reader.end.served
            out.say(served.known(by) | served.used(by) | served.timing(by, exchange.took_ms))

    async def _count(self, exchange: Exchange, model: str, body: bytes) -> TokenCount:
        request = CountRequest(model, msgspec.Raw(body), exchange.dialect.surface, upstream(exchange.fields))
        async with WhileConnected(exchange.request.receive):
            return await self._bus.call(subjects.LLM_COUNT, request, exchange.meta)

    async def _embed(self, exchange: Exchange, request: EmbedRequest, losses: tuple[Loss, ...]) -> Embeddings:
        _refuse_losses(exchange, losses)
        async with WhileConnected(exchange.request.receive):
            found = await self._bus.call(subjects.LLM_EMBED, request, exchange.meta)
        if len(found.vectors) != len(request.texts):
            raise Failure(Code.UPSTREAM, "there is not one vector for each text")
        return msgspec.structs.replace(found, served=_with_losses(found.served, losses))

    async def _answer(self, exchange: Exchange, body: bytes, by: Served) -> int:
        fields = served.known(by) | served.used(by) | served.timing(by, exchange.took_ms)
        return await exchange.reply(body, headers=fields)


def _response(exchange: Exchange) -> ResponseRef:
    id = exchange.request.path_params["id"]
    if not is_token(id):
        raise Failure(Code.NOT_FOUND, "there is no such response", param="id")
    return ResponseRef(id)


def _resume(exchange: Exchange) -> ResumeRequest:
    """Where a reader goes on: after `<stream>:<n>`, as the ids of events are, or the number alone."""
    request = exchange.request
    stream = request.path_params["id"]
    if not is_token(stream):
        raise Failure(Code.NOT_FOUND, "there is no such stream", param="id")
    last = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    after = number(last.removeprefix(f"{stream}:"))
    if after is None or after < 0:
        raise Failure(Code.INVALID, "Last-Event-ID must be the id of one of this stream's events", param="after")
    return ResumeRequest(stream, after)


def _introduce(exchange: Exchange, head: CompletionHead, out: Relay) -> None:
    """What is known before the first event, in the answer's head."""
    by = head.served
    fields = {"x-penstock-stream": head.stream} if head.stream else {}
    out.say(fields | served.known(by) | served.timing(by, exchange.took_ms))


async def _first(reader: StreamReader[CompletionEnd]) -> CompletionHead:
    raw = b""
    async for frame in reader:
        raw += frame
        if (head := _head(raw)) is not None:
            return head
    raise Failure(Code.INTERNAL, "the answer has no head")


def _head(head: bytes) -> CompletionHead | None:
    """None while the head has not come in full."""
    try:
        return _heads.decode(head)
    except msgspec.DecodeError as error:
        if len(head) > HEAD_MAX_BYTES:
            raise Failure(Code.INTERNAL, "the head of the answer cannot be read") from error
        return None


def _refuse_losses(exchange: Exchange, losses: tuple[Loss, ...]) -> None:
    """Raises Failure(INVALID) when something would be lost and the caller does not want that."""
    if asks(exchange.fields).losses == REFUSE_LOSSES and losses:
        raise Failure(Code.INVALID, f"{losses[0].field}: {losses[0].what}", param=losses[0].field)


def _with_losses(by: Served, losses: tuple[Loss, ...]) -> Served:
    return msgspec.structs.replace(by, losses=(*by.losses, *losses))


def _counted(counted: TokenCount) -> dict[str, str]:
    fields = {"x-penstock-estimated": "true" if counted.estimated else "false"}
    return fields | (served.known(counted.served) if counted.served else {})
