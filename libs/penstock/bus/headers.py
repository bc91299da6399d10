"""Meta and Failure as NATS headers and back."""

import math
from collections.abc import Mapping

import msgspec

from penstock.contracts import meta as names
from penstock.contracts.errors import Code, Failure, FailureBody
from penstock.contracts.meta import Meta

FIELD_MAX_CHARACTERS = 512
"""Of any of Meta's texts but the token."""

_DIGITS_MAX = 18
_failure_decoder = msgspec.json.Decoder(FailureBody)


def meta_headers(meta: Meta) -> dict[str, str]:
    """The headers for this Meta; what is empty is left out."""
    fields = _of_the_run(meta)
    if meta.request:
        fields[names.REQUEST] = meta.request
    if meta.tenant:
        fields[names.TENANT] = meta.tenant
    if meta.token:
        fields[names.TOKEN] = meta.token
    if meta.deadline:
        fields[names.DEADLINE] = f"{meta.deadline:.3f}"
    if meta.traceparent:
        fields[names.TRACEPARENT] = meta.traceparent
    if meta.idempotency_key:
        fields[names.IDEMPOTENCY_KEY] = meta.idempotency_key
    return fields


def _of_the_run(meta: Meta) -> dict[str, str]:
    fields = {}
    if meta.job:
        fields[names.JOB] = meta.job
    if meta.step:
        fields[names.STEP] = meta.step
    if meta.epoch:
        fields[names.EPOCH] = str(meta.epoch)
    if meta.taint:
        fields[names.TAINT] = ",".join(meta.taint)
    return fields


def headers_meta(fields: Mapping[str, str]) -> Meta:
    """The Meta in these headers. Raises Failure(INVALID) where a number is none, or a text longer than any of ours.

    `Authorization: Bearer` is read where the plane's own token header is missing: tenants' clients use it.
    """
    get = fields.get
    bearer = get("Authorization", "")
    try:
        meta = Meta(
            request=get(names.REQUEST, ""),
            tenant=get(names.TENANT, ""),
            token=get(names.TOKEN, "") or (bearer[7:] if bearer[:7].lower() == "bearer " else ""),
            deadline=float(get(names.DEADLINE, 0.0)),
            traceparent=get(names.TRACEPARENT, ""),
            idempotency_key=get(names.IDEMPOTENCY_KEY, ""),
            job=get(names.JOB, ""),
            step=get(names.STEP, ""),
            epoch=int(get(names.EPOCH, 0)),
            taint=tuple(get(names.TAINT, "").split(",")) if names.TAINT in fields else (),
        )
    except ValueError as error:
        raise Failure(Code.INVALID, "a header that must be a number is none") from error
    if not math.isfinite(meta.deadline):
        raise Failure(Code.INVALID, "a header that must be a number is none")
    texts = (meta.request, meta.tenant, meta.traceparent, meta.idempotency_key, meta.job, meta.step)
    for text in (*texts, ",".join(meta.taint)):
        if len(text) > FIELD_MAX_CHARACTERS:
            raise Failure(Code.INVALID, f"a header is longer than {FIELD_MAX_CHARACTERS} characters")
    return meta


def whole_number(text: str) -> int:
    """The number that these ASCII digits are; -1 for any other text, and for one too long to be one of ours."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else -1


def failure_headers(failure: Failure) -> dict[str, str]:
    """The headers that mark a reply as a failure; any NATS micro client understands them."""
    return {
        names.ERROR_CODE: failure.code.value,
        names.ERROR: failure.detail.replace("\r", " ").replace("\n", " ")[:500],
    }


def failure_body(failure: Failure) -> bytes:
    """The failure whole, as the reply's body."""
    return msgspec.json.encode(failure.body())


def read_failure(data: bytes) -> Failure:
    """The failure in a reply's body; one that cannot be read is `internal`."""
    try:
        return Failure.of(_failure_decoder.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Failure(Code.INTERNAL, "a failure that cannot be read")
