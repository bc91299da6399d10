"""Numbers of the events of a stream, as server-sent events carry them: `id: <stream>:<n>`. Pure."""

from services.router.sse import SseParser


def numbered(frame: bytes, stream: str, first: int) -> tuple[int, int, bytes, list[bytes]]:
    """Of a frame of whole events: the first number, the next one, the frame with ids, and the events that have one.

    Only what a client is told of has a number: comments have none. The id is an event's last line: of several, such as
    one that the provider gave, the last one counts.
    """
    parser = SseParser(len(frame) + 1)
    shown: list[bytes] = []
    events: list[bytes] = []
    number = first
    for event in (*parser.feed(frame), *parser.finish()):
        if event.data is None:
            shown.append(event.raw)
            continue
        marked = b"%b\nid: %b:%d\n\n" % (event.raw.strip(b"\r\n"), stream.encode(), number)
        shown.append(marked)
        events.append(marked)
        number += 1
    return first, number, b"".join(shown), events
