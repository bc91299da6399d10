"""A provider in this process that answers from a script, over the very bytes the OpenAI wire has."""

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec

from penstock.contracts.ids import new_id
from penstock.contracts.llm import OPENAI_EMBEDDINGS
from services.router.estimate import likely_tokens
from services.router.fault import Fault, FaultKind, ProviderError, refused, told
from services.router.models import script
from services.router.models.script import Fail, Rule, Script, Talk
from services.router.protocols.openai_chat.chunk import DONE_EVENT
from services.router.providers.provider import Ask

Json = dict[str, object]


class _EmbeddingsRequest(msgspec.Struct):
    input: str | list[str]


class _Options(msgspec.Struct):
    include_usage: bool = False


class _StreamRequest(msgspec.Struct):
    stream_options: _Options | None = None


class Scripted:
    """Keeps nothing between answers."""

    async def whole(self, ask: Ask) -> bytes:
        ask.watch.whole()
        if ask.protocol == OPENAI_EMBEDDINGS:
            return _embeddings(ask)
        part = _Part(ask)
        await asyncio.sleep(part.rule.delay_s)
        if part.rule.fail is not None:
            await _fail(part.rule.fail)
        return part.whole()

    @asynccontextmanager
    async def stream(self, ask: Ask) -> AsyncIterator[AsyncIterator[bytes]]:
        ask.watch.headers()
        part = _Part(ask)
        fail = part.rule.fail
        if fail is not None and fail.how == "status":
            await _fail(fail)
        ask.watch.first_content()
        pieces = _play(part)
        try:
            yield pieces
        finally:
            await pieces.aclose()


class _Part:
    """The answer to one request, ready to be said."""

    def __init__(self, ask: Ask) -> None:
        try:
            self.talk: Talk = script.read_talk(ask.body)
        except msgspec.DecodeError:
            raise Fault(FaultKind.CALLER, "the request's messages cannot be read", param="messages") from None
        rule = script.find(ask.deployment.script or Script(), self.talk, ask.deployment.model)
        if rule is None:
            raise Fault(FaultKind.CALLER, "the script has no answer for this", param="messages")
        self.rule: Rule = rule
        self.model = ask.deployment.model
        self.deltas = script.deltas(rule, self.talk)
        self.calls = [
            {
                "index": place,
                "id": new_id("call"),
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call, self.talk)},
            }
            for place, call in enumerate(rule.calls)
        ]
        self.finish = rule.finish or ("tool_calls" if self.calls else "stop")
        self._head: Json = {"id": new_id("chatcmpl"), "created": int(time.time()), "model": self.model}
        self._input = likely_tokens(len(ask.body))
        self.counts_asked = _asks_usage(ask.body)

    def whole(self) -> bytes:
        message: Json = {"role": "assistant", "content": "".join(self.deltas) or None}
        if self.calls:
            message["tool_calls"] = [{k: v for k, v in call.items() if k != "index"} for call in self.calls]
        choice: Json = {"index": 0, "message": message, "finish_reason": self.finish}
        answer: Json = {**self._head, "object": "chat.completion", "choices": [choice]}
        if self.rule.count:
            answer["usage"] = self._usage()
        return msgspec.json.encode(answer)

    def chunk(self, delta: Json, finish: str | None = None) -> bytes:
        return self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def usage_chunk(self) -> bytes:
        return self._event({"choices": [], "usage": self._usage()})

    def _event(self, fields: Json) -> bytes:
        data: Json = {**self._head, "object": "chat.completion.chunk", **fields}
        return b"data: " + msgspec.json.encode(data) + b"\n\n"

    def _usage(self) -> Json:
        counts = self.rule.usage
        spoken = sum(map(len, self.deltas)) + sum(len(str(call["function"])) for call in self.calls)
        asked = counts.input if counts else self._input
        output = counts.output if counts else likely_tokens(spoken)
        usage: Json = {"prompt_tokens": asked, "completion_tokens": output, "total_tokens": asked + output}
        if counts and counts.cached:
            usage["prompt_tokens_details"] = {"cached_tokens": counts.cached}
        return usage


async def _play(part: _Part) -> AsyncGenerator[bytes, None]:
    await asyncio.sleep(part.rule.delay_s)
    fail = part.rule.fail
    yield part.chunk({"role": "assistant", "content": ""})
    for number, piece in enumerate(_spoken(part)):
        if fail is not None and number >= fail.after:
            break
        if number and part.rule.pause_s:
            await asyncio.sleep(part.rule.pause_s)
        yield piece
    if fail is not None:
        if fail.how == "error":
            error = {"error": {"message": fail.message, "type": "server_error", "code": fail.code}}
            yield b"data: " + msgspec.json.encode(error) + b"\n\n"
        elif fail.how == "hang":
            await asyncio.Event().wait()
        return
    yield part.chunk({}, part.finish)
    if part.rule.count and part.counts_asked:
        yield part.usage_chunk()
    yield DONE_EVENT


def _spoken(part: _Part) -> Iterator[bytes]:
    for text in part.deltas:
        yield part.chunk({"content": text})
    for call in part.calls:
        yield part.chunk({"tool_calls": [call]})


async def _fail(fail: Fail) -> None:
    if fail.how == "hang":
        await asyncio.Event().wait()
    error = ProviderError(
        msgspec.Raw(msgspec.json.encode(fail.message)), code=msgspec.Raw(msgspec.json.encode(fail.code))
    )
    raise told(error, fail.status, fail.retry_after_s)


def _asks_usage(body: bytes) -> bool:
    options = msgspec.json.decode(body, type=_StreamRequest).stream_options
    return options is not None and options.include_usage


def _arguments(call: script.Call, talk: Talk) -> str:
    filled = {
        name: script.fill(value, talk) if isinstance(value, str) else value for name, value in call.arguments.items()
    }
    return msgspec.json.encode(filled).decode()


def _embeddings(ask: Ask) -> bytes:
    """Words hashed into places: texts that share words are near one another, the same text is the same vector."""
    try:
        asked = msgspec.json.decode(ask.body, type=_EmbeddingsRequest).input
    except msgspec.DecodeError:
        raise refused(400, b"", 0.0) from None
    texts = [asked] if isinstance(asked, str) else asked
    dimensions = (ask.deployment.script or Script()).embedding_dimensions
    tokens = likely_tokens(sum(len(text.encode()) for text in texts))
    answer: Json = {
        "object": "list",
        "model": ask.deployment.model,
        "data": [
            {"object": "embedding", "index": place, "embedding": _vector(text, dimensions)}
            for place, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return msgspec.json.encode(answer)


def _vector(text: str, dimensions: int) -> list[float]:
    vector = [0.0] * dimensions
    for word in text.lower().split():
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        vector[int.from_bytes(digest, "big") % dimensions] += 1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]
