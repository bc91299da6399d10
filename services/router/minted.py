"""Where signatures and sealed reasoning were minted: only that endpoint honours them, and a caller sends them back
without saying whose they are.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from penstock.contracts.errors import Failure
from penstock.kit.store import Store
from services.router.protocols.part import Part, Thinking, ToolCall
from services.router.protocols.prompt import Prompt

KEPT_S = 7 * 86_400
LOCAL_MAX = 20_000
LOOKED_UP_MAX = 500
TRACES = (b"signature", b"Signature", b"encrypted_content", b"redacted_thinking")
"""A request without any of these words holds nothing that was minted."""


class Minted:
    """Remembers in this process, and for every replica in the store. What is not known anywhere is taken for the
    endpoint's own: it was minted before, or elsewhere by the same account."""

    def __init__(self, store: Store | None, *, timeout_s: float) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._local: OrderedDict[str, str] = OrderedDict()

    async def note(self, tenant: str, artefacts: Iterable[str], endpoint: str) -> None:
        """Before the answer is over, so that the next turn finds it on any replica."""
        keys = [_key(tenant, artefact) for artefact in artefacts]
        for key in keys:
            self._local[key] = endpoint
            self._local.move_to_end(key)
        while len(self._local) > LOCAL_MAX:
            self._local.popitem(last=False)
        if keys:
            await self._do([("SET", key, endpoint, "EX", KEPT_S) for key in keys])

    async def endpoints(self, tenant: str, artefacts: Iterable[str]) -> Mapping[str, str]:
        """The endpoint of each artefact that is known."""
        keys = {artefact: _key(tenant, artefact) for artefact in list(dict.fromkeys(artefacts))[-LOOKED_UP_MAX:]}
        found = {artefact: self._local[key] for artefact, key in keys.items() if key in self._local}
        asked = [artefact for artefact in keys if artefact not in found]
        if asked:
            answers = await self._do([("MGET", *[keys[artefact] for artefact in asked])])
            stored = answers[0] if answers and isinstance(answers[0], list) else []
            found |= {name: value.decode() for name, value in zip(asked, stored, strict=False) if value is not None}
        return found

    async def _do(self, commands: list[tuple[str | int, ...]]) -> list[object]:
        if self._store is None:
            return []
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._store.do_all(commands)
        except (Failure, TimeoutError):
            return []


def may_hold(body: bytes) -> bool:
    """A quick look."""
    return any(trace in body for trace in TRACES)


def artefacts_of(prompt: Prompt) -> Iterator[str]:
    """Everything in a conversation that some endpoint minted."""
    for turn in prompt.turns:
        for part in turn.parts:
            yield from _in(part)


def without(prompt: Prompt, foreign: frozenset[str]) -> Prompt:
    """The conversation without what other endpoints minted: thoughts go whole, calls lose their signature alone."""
    turns = []
    for turn in prompt.turns:
        parts = tuple(kept for part in turn.parts if (kept := _cleaned(part, foreign)) is not None)
        if parts or not turn.parts:
            turns.append(replace(turn, parts=parts))
    return replace(prompt, turns=tuple(turns))


def _in(part: Part) -> Iterator[str]:
    if isinstance(part, Thinking | ToolCall) and part.signature:
        yield part.signature
    if isinstance(part, Thinking) and part.sealed:
        yield part.sealed


def _cleaned(part: Part, foreign: frozenset[str]) -> Part | None:
    if not any(artefact in foreign for artefact in _in(part)):
        return part
    return replace(part, signature="") if isinstance(part, ToolCall) else None


def _key(tenant: str, artefact: str) -> str:
    """Google's SDK sends base64 back in its other alphabet."""
    spelled = artefact.replace("-", "+").replace("_", "/").rstrip("=")
    return f"penstock:router:minted:{{{tenant}}}:{hashlib.sha256(spelled.encode()).hexdigest()[:40]}"
