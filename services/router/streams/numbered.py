"""Numbers of the events of a stream, as server-sent events carry them: `id: <stream>:<n>`. Pure."""

from services.router.sse import SseParser


def numbered(frame: bytes, stream: str, first: int) -> tuple[bytes, list[bytes]]:
    """Of a frame of whole events: the same with ids from `first` on, and the events that have one.

    Only what a client is told of has a number: comments have none. The id is an event's last line: of several, such as
    one that the provider gave, the last one counts.
    """
    if frame.startswith(b"data: ") and frame.find(b"\n\n") == len(frame) - 2 and b"\r" not in frame:
        marked = _marked(frame[:-2], stream, first)
        return marked, [marked]
    parser = SseParser(len(frame) + 1)
    shown: list[bytes] = []
    events: list[bytes] = []
    for event in (*parser.feed(frame), *parser.finish()):
        if event.data is None:
            shown.append(event.raw)
            continue
        marked = _marked(event.raw.strip(b"\r\n"), stream, first + len(events))
        shown.append(marked)
        events.append(marked)
    return b"".join(shown), events


def _marked(event: bytes, stream: str, number: int) -> bytes:
    return b"%b\nid: %b:%d\n\n" % (event, stream.encode(), number)
