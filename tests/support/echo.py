"""Small endpoints for tests of the bus itself, and two parties on one broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from penstock.bus import Bus, BusConfig
from penstock.contracts.endpoint import Call, Stream, Subject


class Ask(msgspec.Struct, frozen=True):
    text: str
    wait_s: float = 0.0


class Said(msgspec.Struct, frozen=True):
    text: str


ECHO = Call(Subject("test.echo"), Ask, Said, "router", ("gateway",), timeout_s=5.0, repeatable=True)
ONCE = Call(Subject("test.once"), Ask, Said, "router", ("gateway",), timeout_s=5.0)
TENANT_ECHO = Call(Subject("test.{tenant}.echo"), Ask, Said, "router", ("gateway",), timeout_s=5.0)
COUNT = Stream(Subject("test.count"), Ask, Said, "router", ("gateway",), timeout_s=10.0)


@dataclass
class Pair:
    """`asker` calls, `answerer` serves; both see the same broker."""

    asker: Bus
    answerer: Bus


@asynccontextmanager
async def pair(url: str, *, asker_url: str = "", lean: bool = True, silence_s: float = 6.0) -> AsyncIterator[Pair]:
    asker = await Bus.connect(
        BusConfig(url=asker_url or url, principal="gateway", lean=lean, silence_s=silence_s, no_responders_s=0.5)
    )
    answerer = await Bus.connect(BusConfig(url=url, principal="router", lean=lean, silence_s=silence_s))
    try:
        yield Pair(asker, answerer)
    finally:
        await asker.close()
        await answerer.close()
