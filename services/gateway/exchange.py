"""One request of an authenticated client, and the way back."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Send

from penstock.contracts.errors import Failure
from penstock.contracts.meta import Meta
from services.gateway.dialects.dialect import Dialect
from services.gateway.sse import answer


@dataclass(frozen=True, slots=True)
class Exchange:
    """`began`: in time.monotonic; `subject`: who the credential belongs to, such as `user:alice`."""

    request: Request
    send: Send
    meta: Meta
    dialect: Dialect
    began: float
    subject: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What every answer carries."""
        return {"x-request-id": self.meta.request, **self.dialect.headers(self.meta.request)}

    @property
    def fields(self) -> dict[str, list[str]]:
        """The request's headers, names in lower case; one may come more than once."""
        fields: dict[str, list[str]] = {}
        for name, value in self.request.headers.items():
            fields.setdefault(name, []).append(value)
        return fields

    @property
    def took_ms(self) -> float:
        """So far."""
        return (time.monotonic() - self.began) * 1000

    def status(self, failure: Failure | None) -> int:
        """Of a stream, which `failure` broke."""
        return self.dialect.status(failure) if failure else 200

    async def reply(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> int:
        """A whole JSON answer; returns its status."""
        await answer(self.send, status, body, {**self.headers, **(headers or {})})
        return status
