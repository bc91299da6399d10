"""Reranking on the wire that Cohere, Jina, vLLM and others share: the request, the order out of the answer. Pure."""

import msgspec

from penstock.contracts.llm import Ranked, Usage
from services.router.fault import NOTHING, Fault, FaultKind, is_nothing, read_error, told
from services.router.protocols.protocol import Told


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Tokens(msgspec.Struct):
    total_tokens: int | None = None


class _Answer(msgspec.Struct):
    results: list[_Result] | None = None
    usage: _Tokens | None = None
    error: msgspec.Raw = NOTHING
    model: str = ""


_ANSWER = msgspec.json.Decoder(_Answer)


def request(model: str, query: str, documents: list[str], top_n: int) -> bytes:
    """`top_n` 0 asks for all."""
    asked: dict[str, object] = {"model": model, "query": query, "documents": documents}
    if top_n:
        asked["top_n"] = top_n
    return msgspec.json.encode(asked)


def read(body: bytes, count: int, top_n: int) -> tuple[list[Ranked], Told]:
    """The best first, at most `top_n` (0: all) of the `count` documents. Raises Fault for anything else."""
    try:
        answer = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _garbage("is not a list of results") from None
    if not is_nothing(answer.error):
        raise told(read_error(answer.error))
    results = answer.results or []
    places = {result.index for result in results}
    if not results or len(places) != len(results) or not all(0 <= place < count for place in places):
        raise _garbage("ranks documents that were not asked about")
    ranked = [Ranked(each.index, each.relevance_score) for each in results]
    ranked.sort(key=lambda each: (-each.score, each.index))
    tokens = answer.usage.total_tokens if answer.usage is not None else None
    usage = None if tokens is None else Usage(uncached=max(tokens, 0))
    return ranked[: top_n or None], Told(usage, "", answer.model)


def _garbage(what: str) -> Fault:
    return Fault(FaultKind.GARBAGE, f"the provider's answer {what}", sent=True)
