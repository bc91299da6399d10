"""What the edge reads of an HTTP request: its body within limits, its id, its caller's context."""

import asyncio
import os
import time

from starlette.requests import ClientDisconnect, Request

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token, new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Identity
from penstock.kit.trace import child


def request_id(request: Request) -> str:
    """The client's `x-request-id` where it may stand in a subject, otherwise a new id."""
    given = request.headers.get("x-request-id", "")
    return given if is_token(given) else new_id("req")


def meta_of(request: Request, id: str, identity: Identity, timeout_s: float) -> Meta:
    """The context that travels with everything done for this request. Raises Failure(INVALID)."""
    key = request.headers.get("idempotency-key", "")
    if len(key) > 255 or not key.isprintable():
        raise Failure(Code.INVALID, "Idempotency-Key must be at most 255 printable characters", param="Idempotency-Key")
    return Meta(
        request=id,
        tenant=identity.tenant,
        token=identity.token,
        deadline=time.time() + timeout_s,
        traceparent=child(request.headers.get("traceparent", ""), os.urandom(16).hex(), os.urandom(8).hex()),
        idempotency_key=key,
    )


async def body_of(request: Request, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body. Raises Failure TOO_LARGE, DEADLINE (the client fell silent), CANCELLED (it left), INVALID."""
    too_large = Failure(Code.TOO_LARGE, f"the body is larger than {max_bytes} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Failure(Code.INVALID, f"a body with Content-Encoding {encoding[:40]!r} is not taken")
    parts: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s) as silence:
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise too_large
                if parts:
                    silence.reschedule(loop.time() + timeout_s)
                if chunk:
                    parts.append(chunk)
    except TimeoutError as error:
        raise Failure(Code.DEADLINE, f"no part of the body came for {timeout_s:g} s") from error
    except ClientDisconnect as error:
        raise Failure(Code.CANCELLED, "the client left") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)
