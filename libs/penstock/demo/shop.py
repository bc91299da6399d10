"""The outside world of the story: a small shop with an HTTP server and an order book, both of which keep count."""

import json
import secrets
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

CUSTOMER = "Meridian"
ORDERS = (
    ("Meridian", "12 valves", 480.0, "open"),
    ("Meridian", "3 gauges", 96.5, "open"),
    ("Meridian", "1 pump", 1250.0, "paid"),
    ("Northwind", "40 m of pipe", 320.0, "open"),
)
VISIT_S = 0.4
"""How long the night watchman takes at each door."""


@dataclass(frozen=True)
class Visit:
    """One request that the server has carried out: every one, also a second time for the same thing."""

    method: str
    path: str
    argument: str
    body: str = ""


@dataclass
class Shop:
    """`secret` stands in one order's number, `rate` is today's: nobody can know them without asking."""

    folder: Path
    secret: str = field(default_factory=lambda: secrets.token_hex(3).upper())
    rate: float = field(default_factory=lambda: round(0.85 + secrets.randbelow(1000) / 10_000, 4))
    visits: list[Visit] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None
    _bell: threading.Condition = field(default_factory=threading.Condition)

    @property
    def database(self) -> Path:
        return self.folder / "orders.db"

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.server_address[1])

    def open(self) -> None:
        """Writes the order book and serves on loopback, in a thread of its own."""
        with closing(sqlite3.connect(self.database)) as book:
            book.execute("CREATE TABLE orders (number TEXT, customer TEXT, what TEXT, usd REAL, state TEXT)")
            for place, (customer, what, usd, state) in enumerate(ORDERS):
                number = f"M-{self.secret}" if place == 0 else f"N-{place:04d}"
                book.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", (number, customer, what, usd, state))
            book.commit()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="shop", daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def seen(self, path: str) -> list[Visit]:
        """Requests to one path, in order."""
        return [visit for visit in self.visits if visit.path == path]

    def note(self, visit: Visit) -> None:
        """Keeps the visit."""
        with self._bell:
            self.visits.append(visit)
            self._bell.notify_all()

    def wait_for(self, path: str, count: int, timeout_s: float) -> None:
        """Blocks until so many requests to this path have come. Raises TimeoutError."""
        with self._bell:
            if not self._bell.wait_for(lambda: len(self.seen(path)) >= count, timeout_s):
                raise TimeoutError(f"{path} was asked {len(self.seen(path))} times, not {count}")

    def orders(self) -> int:
        """How many orders the book has, read from the file itself."""
        with closing(sqlite3.connect(self.database)) as book:
            count: int = book.execute("SELECT count(*) FROM orders").fetchone()[0]
        return count

    def answer(self, visit: Visit) -> dict[str, object]:
        """What the server answers, after it has noted the visit."""
        if visit.path == "/rate":
            return {"currency": visit.argument, "rate": self.rate, "seen": self.secret in visit.body}
        if visit.path == "/door":
            time.sleep(VISIT_S)
            return {"door": visit.argument, "locked": True}
        return {"ok": True}


def _handler(shop: Shop) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve("")

        def do_DELETE(self) -> None:
            self._serve("")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())

        def log_message(self, format: str, *arguments: object) -> None:
            """The shop keeps its own books."""

        def _serve(self, body: str) -> None:
            parts = urlsplit(self.path)
            named = [value for values in parse_qs(parts.query).values() for value in values]
            visit = Visit(self.command, parts.path, named[0] if named else "", body)
            shop.note(visit)
            answer = json.dumps(shop.answer(visit)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    return Handler
