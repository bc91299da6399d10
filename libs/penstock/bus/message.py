"""One message off the wire. Its headers are parsed only when somebody looks."""

from functools import cached_property


def parse_headers(raw: bytes) -> tuple[str, str, dict[str, str]]:
    """Status, description and fields of a NATS header block (`NATS/1.0[ status[ description]]`, then `key: value`)."""
    lines = raw.decode("utf-8", "replace").split("\r\n")
    _, _, rest = lines[0].partition(" ")
    status, _, description = rest.strip().partition(" ")
    fields = {}
    for line in lines[1:]:
        key, colon, value = line.partition(":")
        if colon:
            fields[key] = value.strip()
    return status, description, fields


class Message:
    """`status` is empty for an ordinary message, otherwise the server's (100 heartbeat, 404, 408, 409, 503 …)."""

    def __init__(self, subject: str, reply: str, data: bytes, raw: bytes = b"") -> None:
        self.subject = subject
        self.reply = reply
        self.data = data
        self.raw = raw

    @cached_property
    def _head(self) -> tuple[str, str, dict[str, str]]:
        return parse_headers(self.raw) if self.raw else ("", "", {})

    @property
    def headers(self) -> dict[str, str]:
        """The fields, their names as sent."""
        return self._head[2]

    @property
    def status(self) -> str:
        """The server's status, or empty."""
        return self._head[0]

    @property
    def description(self) -> str:
        """The server's words beside the status."""
        return self._head[1]
