"""What the edge reads of an HTTP request: its body within limits, its id, its caller's context."""

import asyncio
import re
import time

from starlette.requests import ClientDisconnect, Request

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token, new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Identity
from services.gateway.room import Share

_NUMBER = re.compile(r"-?[0-9]{1,18}\Z")


def request_id(request: Request) -> str:
    """The client's `x-request-id` where it may stand in a subject, otherwise a new id."""
    given = request.headers.get("x-request-id", "")
    return given if is_token(given) else new_id("req")


def meta_of(request: Request, came: Meta, identity: Identity, timeout_s: float) -> Meta:
    """The context that travels with everything done for this request; `came` has its id and its trace.

    Raises Failure(INVALID).
    """
    key = request.headers.get("idempotency-key", "")
    server_timeout_s = number(request.headers.get("x-server-timeout", ""))  # Gemini clients: no longer do they wait
    if server_timeout_s is not None and server_timeout_s > 0:
        timeout_s = min(timeout_s, server_timeout_s)
    if len(key) > 255 or not key.isprintable():
        raise Failure(Code.INVALID, "Idempotency-Key must be at most 255 printable characters", param="Idempotency-Key")
    return Meta(
        request=came.request,
        tenant=identity.tenant,
        token=identity.token,
        deadline=time.time() + timeout_s,
        traceparent=came.traceparent,
        idempotency_key=key,
    )


def number(text: str) -> int | None:
    """The whole number that a client wrote; None for what is none."""
    return int(text) if _NUMBER.match(text) else None


async def body_of(request: Request, share: Share, *, max_bytes: int, silence_s: float, within_s: float) -> bytes:
    """The whole body, as soon as it is there: within `within_s`, no part later than `silence_s` after the one before.

    Raises Failure TOO_LARGE, DEADLINE, CANCELLED (the client left), INVALID, and OVERLOADED when `share` has no room.
    """
    too_large = Failure(Code.TOO_LARGE, f"the body is larger than {max_bytes} bytes")
    declared = number(request.headers.get("content-length", ""))
    if declared is not None and declared > max_bytes:
        raise too_large
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Failure(Code.INVALID, f"a body with Content-Encoding {encoding[:40]!r} is not taken")
    parts: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    ends = loop.time() + within_s
    try:
        async with asyncio.timeout(min(silence_s, within_s)) as silence:
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise too_large
                share.grow(len(chunk))
                if parts:
                    silence.reschedule(min(loop.time() + silence_s, ends))
                if chunk:
                    parts.append(chunk)
    except TimeoutError as error:
        raise Failure(Code.DEADLINE, "the body did not come in time") from error
    except ClientDisconnect as error:
        raise Failure(Code.CANCELLED, "the client left") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)
