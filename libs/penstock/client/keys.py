"""API keys of one's tenant. A secret is made here, given to who asked, and never sent: the plane gets its digest."""

from collections.abc import AsyncIterator
from typing import Protocol, TypeVar

from msgspec.structs import replace

from penstock.contracts import governance
from penstock.contracts.endpoint import Call
from penstock.contracts.keys import (
    KeyCreate,
    KeyExpire,
    KeyListRequest,
    KeyRef,
    KeyRevoke,
    KeyRevoked,
    KeyRotate,
    KeyView,
    credential,
    digest_of,
    new_secret,
)

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class Ask(Protocol):
    """One call of the plane, in the name of whoever is connected."""

    async def __call__(self, endpoint: Call[Request, Reply], request: Request, /) -> Reply: ...


class Keys:
    """`Penstock.keys`. Methods raise Failure; most need the scope `key:admin`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def create(self, wanted: KeyCreate) -> tuple[KeyView, str]:
        """A key that may do no more than one's own, and its text, this once. `wanted.digest` is not looked at."""
        secret = new_secret()
        view = await self._ask(governance.KEY_CREATE, replace(wanted, digest=digest_of(secret)))
        return view, credential(view.id, secret)

    async def list(self) -> AsyncIterator[KeyView]:
        """Every key of the tenant."""
        after = ""
        while True:
            page = await self._ask(governance.KEY_LIST, KeyListRequest(after=after))
            for view in page.keys:
                yield view
            after = page.next
            if not after:
                return

    async def show(self, id: str) -> KeyView:
        return await self._ask(governance.KEY_SHOW, KeyRef(id))

    async def rotate(self, id: str, grace_s: float = 0.0) -> tuple[KeyView, str]:
        """A new text for the key; the one before is good for `grace_s` seconds more. One's own key needs no scope."""
        secret = new_secret()
        view = await self._ask(governance.KEY_ROTATE, KeyRotate(id, digest_of(secret), grace_s))
        return view, credential(id, secret)

    async def expire(self, id: str, at: float) -> KeyView:
        """The key ends at `at` (Unix seconds), sooner than it would."""
        return await self._ask(governance.KEY_EXPIRE, KeyExpire(id, at))

    async def revoke(self, id: str, *, below: bool = False, reason: str = "") -> KeyRevoked:
        """The key and all that came from it end now, within a second everywhere."""
        return await self._ask(governance.KEY_REVOKE, KeyRevoke(id, below, reason))
