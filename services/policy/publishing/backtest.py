"""A backtest over any number of recorded decisions: chunks of lines, here or over several processes, bounded memory."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import msgspec

from penstock.contracts.audit import DECISION, DecisionRecord
from penstock.contracts.bundles import PastDecision
from services.policy.publishing.replay import Report, replay
from services.policy.rules.bundle import Bundle
from services.policy.rules.compiled import compile_bundle

CHUNK = 1000
LINE_MAX_BYTES = 1024 * 1024

Chunk = list[bytes]


class BadLine(ValueError):
    """A line that is no record."""

    def __init__(self, line: bytes) -> None:
        super().__init__(f"this line is no audit record: {line[:80]!r}")


class _Line(msgspec.Struct):
    """An audit record, an entry of the log around one, or a past decision."""

    type: str = ""
    tenant: str = ""
    time: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    record: msgspec.Raw = msgspec.Raw(b"")


_lines = msgspec.json.Decoder(_Line)
_decisions = msgspec.json.Decoder(DecisionRecord)


def read_line(line: bytes) -> PastDecision | None:
    """The decision of a line; None for any other record. Raises BadLine."""
    try:
        found = _lines.decode(line)
        if bytes(found.record):
            if not found.tenant:
                found = _lines.decode(found.record)
            else:
                return PastDecision(found.tenant, found.time, _decisions.decode(found.record))
        if not found.type:
            raise BadLine(line)
        if found.type != DECISION:
            return None
        return PastDecision(found.tenant, found.time, _decisions.decode(found.data))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadLine(line) from error


def chunks(lines: Iterable[bytes], size: int = CHUNK) -> Iterator[Chunk]:
    """Lines as they come, so many at once; empty ones are passed over."""
    chunk: Chunk = []
    for line in lines:
        if line.strip():
            chunk.append(line)
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def tested(bundle: Bundle, chunk: Chunk, known: frozenset[str]) -> Report:
    """The report of one chunk. Raises BadLine."""
    past = [found for line in chunk if (found := read_line(line)) is not None]
    return replay(bundle, past, known)


class Backtest:
    """Feeds chunks and gathers reports; with `jobs` above 1 in that many processes, each with the bundle of its own."""

    def __init__(self, bundle: Bundle, known: frozenset[str], pool: ProcessPoolExecutor | None, jobs: int) -> None:
        self._bundle = bundle
        self._known = known
        self._pool = pool
        self._waiting: deque[Future[Report]] = deque()
        self._most = jobs * 2
        self._report = Report()

    def feed(self, chunk: Chunk) -> None:
        """Waits while too much is under way. Raises BadLine."""
        if self._pool is None:
            self._report.add(tested(self._bundle, chunk, self._known))
            return
        while len(self._waiting) >= self._most:
            self._report.add(self._waiting.popleft().result())
        self._waiting.append(self._pool.submit(_work, chunk))

    def end(self) -> Report:
        """The report of all that was fed."""
        while self._waiting:
            self._report.add(self._waiting.popleft().result())
        return self._report


@contextmanager
def backtest(bundle: Bundle, known: frozenset[str], jobs: int = 1) -> Iterator[Backtest]:
    """`with backtest(...) as test: test.feed(...); report = test.end()`."""
    if jobs <= 1:
        yield Backtest(bundle, known, None, 1)
        return
    arguments = (dict(bundle.files), known)
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_begin, initargs=arguments) as pool:
        yield Backtest(bundle, known, pool, jobs)


class _Worker:
    """What a process of the pool is told once."""

    bundle: Bundle
    known: frozenset[str]


def _begin(files: dict[str, str], known: frozenset[str]) -> None:
    _Worker.bundle = compile_bundle(files)
    _Worker.known = known


def _work(chunk: Chunk) -> Report:
    return tested(_Worker.bundle, chunk, _Worker.known)
