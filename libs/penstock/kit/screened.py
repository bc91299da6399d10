"""What policy is told of texts: which personal data, secrets and hidden characters are in them. Never the texts."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from penstock.contracts.policy import Fact
from penstock.guard import Facts, facts
from penstock.kit.json_text import FAILS, decoded, texts

THREAD_ABOVE_CHARACTERS = 32 * 1024
"""Longer texts are looked at off the event loop."""
Made = TypeVar("Made")


def told(found: Facts) -> dict[str, Fact]:
    """As facts of a question. They are there when nothing was found too: a policy may ask for that."""
    return {"personal": sorted(found.personal), "secrets": found.secrets, "hidden_text": found.hidden_text}


async def screened(found: Sequence[str]) -> dict[str, Fact]:
    """The facts of all these texts together."""
    text = "\n".join(found)
    return told(await off_loop(len(text), facts, text))


async def screened_json(raws: Sequence[bytes]) -> dict[str, Fact]:
    """The facts of every text in these pieces of JSON."""
    return told(await off_loop(sum(map(len, raws)), _facts_in, raws))


def _facts_in(raws: Sequence[bytes]) -> Facts:
    return facts("\n".join(text for raw in raws for text in _texts_in(raw)))


def _texts_in(raw: bytes) -> list[str]:
    try:
        return list(texts(decoded(raw)))
    except FAILS:
        return [raw.decode(errors="replace")]


async def suspicions(read: Sequence[str]) -> set[str]:
    """Labels that taint whoever reads these texts: words that are meant for a model, and what people do not see."""
    text = "\n".join(read)
    found = await off_loop(len(text), facts, text)
    return {
        label for label, is_so in (("instructions", found.instructions), ("hidden_text", found.hidden_text)) if is_so
    }


async def off_loop(size: int, make: Callable[..., Made], *arguments: object) -> Made:
    """Calls `make`, in a thread where so many characters would hold up everybody else."""
    if size > THREAD_ABOVE_CHARACTERS:
        return await asyncio.to_thread(make, *arguments)
    return make(*arguments)
