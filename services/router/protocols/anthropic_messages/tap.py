"""A streamed message on its way to a caller who speaks this protocol too. Pure."""

import msgspec

from services.router.protocols.anthropic_messages import block
from services.router.protocols.anthropic_messages.event import Event, garbage, keep, note, read_event
from services.router.protocols.protocol import Sort, Told
from services.router.sse import SseEvent

STOP_EVENT = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_SORTS = {"ping": Sort.NOISE, "message_stop": Sort.DONE}


class MessagesTap:
    """Nothing is cut out: this protocol's callers are always told the usage."""

    __slots__ = ("done", "told")

    def __init__(self) -> None:
        self.told = Told()
        self.done = False

    def read(self, event: SseEvent) -> tuple[Sort, bytes]:
        """Raises Fault for an error event and for what is not of the protocol."""
        if event.data is None or not event.data.strip():
            return Sort.NOISE, event.raw
        read = read_event(event.data, event.name)
        sort = sort_of(read, self.told)
        note(read, self.told)
        self.done = self.done or sort is Sort.DONE
        return sort, event.raw

    def end(self) -> bytes:
        """message_stop, when the provider gave its reason to stop and left that out."""
        return STOP_EVENT if self.whole and not self.done else b""

    @property
    def whole(self) -> bool:
        """A reason to stop was given."""
        return bool(self.told.finish)


def sort_of(event: Event, told: Told) -> Sort:
    """A block that begins empty is no content yet. An event that we do not know passes, and commits to nothing."""
    if (known := _SORTS.get(event.type)) is not None:
        return known
    delta = event.delta
    if event.type == "content_block_delta" and delta is not None:
        return Sort.CONTENT if delta.type not in ("text_delta", "thinking_delta") or delta.size else Sort.START
    if event.type == "content_block_start":
        return _begins(event.content_block, told)
    if event.type == "message_delta":
        return Sort.CONTENT if delta is not None and delta.stop_reason else Sort.USAGE
    return Sort.START


def _begins(raw: msgspec.Raw, told: Told) -> Sort:
    try:
        kind = block.kind.decode(raw).type
        if kind == "redacted_thinking":
            keep(told, block.redacted.decode(raw).data)
        elif kind == "text":
            return Sort.CONTENT if block.text.decode(raw).text else Sort.START
        elif kind == "thinking":
            return Sort.CONTENT if block.thinking.decode(raw).thinking else Sort.START
    except block.BROKEN:
        raise garbage("the provider's stream holds a block that cannot be read") from None
    told.output_bytes += len(memoryview(raw))
    return Sort.CONTENT
