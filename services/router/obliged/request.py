"""A provider's request with its texts edited, in whatever protocol it is: every part of every message, tool results and
what describes tools among them. Pure.
"""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.kit.json_text import FAILS, decoded, edited, edited_text
from penstock.kit.transform import Transform


def outward(raw: bytes, transform: Transform) -> bytes:
    """The same bytes where nothing had to change. Raises Failure(INVALID) for what cannot be looked through."""
    try:
        value = decoded(raw)
    except FAILS:
        raise Failure(Code.INVALID, "the request holds text that cannot be read, nor screened") from None
    if not isinstance(value, dict):
        return raw
    # always written anew: of a name that stands twice the decoder sees one, and a provider might see the other
    return msgspec.json.encode(edited(value, transform.outward))


def outward_texts(texts: list[str], transform: Transform | None) -> list[str]:
    """For requests that are texts alone."""
    if transform is None or not transform.outward_needed:
        return texts
    return [edited_text(text, transform.outward) for text in texts]
