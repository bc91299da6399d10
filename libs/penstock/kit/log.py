"""JSON lines on standard error: time, level, service, event, and fields. Secrets are hidden whatever they hide in."""

import logging
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

import msgspec

from penstock.contracts.meta import Meta
from penstock.kit.clock import Clock, SystemClock
from penstock.kit.trace import trace_id

Level = Literal["debug", "info", "warning", "error"]
Value = str | int | float | bool | None | Sequence[str]
LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
TEXT_MAX = 2000
"""Characters of one field; what is longer is cut."""

HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(r"(?i)(token|secret|password|passwd|seed|credential|authorization|api_?key|cookie)")
_SECRET_TEXT = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"  # JWT
    r"|\bS[ACNOUX][A-Z2-7]{50,}"  # nkey seed
    r"|(?i:bearer)\s+[^\s\"']+"
    r"|\b(?:sk|pk|psk|rk|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{12,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|(?<=://)[^/\s@]+(?=@)"  # user:password, or a token alone, in a URL
)


def scrub(text: str) -> str:
    """`text` with whatever looks like a credential hidden, cut at TEXT_MAX characters."""
    clean = _SECRET_TEXT.sub(HIDDEN, text[: 4 * TEXT_MAX])
    return clean if len(clean) <= TEXT_MAX else clean[:TEXT_MAX] + "…"


class Log:
    """`log.info("ready", port=8080)`. The event is a few fixed words; what varies stands in the fields."""

    def __init__(
        self,
        write: Callable[[str], object] | None = None,
        *,
        level: Level = "info",
        clock: Clock | None = None,
        bound: dict[str, Value] | None = None,
    ) -> None:
        self._write = write or sys.stderr.write
        self._level = level
        self._least = LEVELS[level]
        self._clock = clock or SystemClock()
        self._bound = bound or {}

    def bind(self, **fields: Value) -> "Log":
        """A log that writes these fields with every line."""
        return Log(self._write, level=self._level, clock=self._clock, bound={**self._bound, **fields})

    def of(self, meta: Meta) -> "Log":
        """A log bound to what this message belongs to: request, tenant, job, step, trace."""
        about = {
            "request": meta.request,
            "tenant": meta.tenant,
            "job": meta.job,
            "step": meta.step,
            "trace": trace_id(meta.traceparent),
        }
        return self.bind(**{name: text for name, text in about.items() if text})

    def debug(self, event: str, **fields: Value) -> None:
        self._line("debug", event, fields)

    def info(self, event: str, **fields: Value) -> None:
        self._line("info", event, fields)

    def warning(self, event: str, **fields: Value) -> None:
        self._line("warning", event, fields)

    def error(self, event: str, **fields: Value) -> None:
        self._line("error", event, fields)

    def enabled(self, level: Level) -> bool:
        """Whether a line of this level would be written."""
        return LEVELS[level] >= self._least

    def _line(self, level: Level, event: str, fields: dict[str, Value]) -> None:
        if LEVELS[level] < self._least:
            return
        time = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="milliseconds")
        line: dict[str, Value] = {"time": time.replace("+00:00", "Z"), "level": level}
        for name, value in {**self._bound, "event": event, **fields}.items():
            line[name] = _safe(name, value)
        with suppress(OSError, ValueError):  # a log that nobody takes any more must not fail the work
            self._write(msgspec.json.encode(line, enc_hook=str).decode() + "\n")


def _safe(name: str, value: Value) -> Value:
    if isinstance(value, str):
        return HIDDEN if value and _SECRET_NAME.search(name) and not name.endswith("_file") else scrub(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return [HIDDEN] if _SECRET_NAME.search(name) else [scrub(str(item)) for item in value]


class LibraryLogs(logging.Handler):
    """Puts what libraries say through `logging` on our lines."""

    def __init__(self, log: Log, level: int = logging.WARNING) -> None:
        super().__init__(level)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        say = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        fields = getattr(record, "fields", {})
        about: dict[str, Value] = {f"about_{name}": str(value) for name, value in fields.items()}
        if record.exc_info and record.exc_info[0] is not None:
            about["error"] = record.exc_info[0].__name__
        say("library", logger=record.name, message=record.getMessage(), **about)
