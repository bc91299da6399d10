"""The seven verbs as data: a subject bound to its types, to who answers and to who may ask."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from penstock.contracts.ids import token

Request = TypeVar("Request")
Reply = TypeVar("Reply")
End = TypeVar("End")
Body = TypeVar("Body")

TENANT_CLIENT = "tenant"
"""Stands for a tenant's own NATS client in `called_by`, `emitted_by` and so on."""


class SubjectMismatch(ValueError):
    """A concrete subject that is not of this form."""

    def __init__(self, subject: str, pattern: str) -> None:
        super().__init__(f"subject {subject!r} is not of the form {pattern!r}")


class Subject:
    """A subject with named places, such as `penstock.v1.{tenant}.events.{job}`."""

    __slots__ = ("_names", "_parts", "pattern", "wildcard")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._parts = pattern.split(".")
        self._names = [(i, p[1:-1]) for i, p in enumerate(self._parts) if p.startswith("{")]
        self.wildcard = ".".join("*" if p.startswith("{") else p for p in self._parts)

    def __repr__(self) -> str:
        return f"Subject({self.pattern!r})"

    def at(self, **tokens: str) -> str:
        """The concrete subject. Raises InvalidToken for a text that may not stand there, KeyError for a missing one."""
        if not self._names:
            return self.pattern
        parts = self._parts.copy()
        for place, name in self._names:
            parts[place] = token(name, tokens[name])
        return ".".join(parts)

    def within(self, **tokens: str) -> str:
        """The narrowest filter for these tokens: the places not named are `*`."""
        parts = self._parts.copy()
        for place, name in self._names:
            parts[place] = token(name, tokens[name]) if name in tokens else "*"
        return ".".join(parts)

    def parse(self, subject: str) -> dict[str, str]:
        """The tokens that stand in the named places. Raises SubjectMismatch."""
        parts = subject.split(".")
        if len(parts) != len(self._parts):
            raise SubjectMismatch(subject, self.pattern)
        for have, want in zip(parts, self._parts, strict=True):
            if not want.startswith("{") and have != want:
                raise SubjectMismatch(subject, self.pattern)
        return {name: parts[place] for place, name in self._names}


@dataclass(frozen=True)
class Call(Generic[Request, Reply]):
    """Request and reply, at most once, with a deadline (`timeout_s` when the caller's Meta has none that is sooner).

    `repeatable`: the request may be sent again when its fate is unknown (broker restarted, worker lost),
    since the answerer gives the same answer to the same request.

    `inside`: where services ask, for a call that tenants' clients ask at `subject`. The broker says nothing of who
    sent a message: its subject alone tells a tenant's, which is answered at that tenant's own inbox and nowhere else.
    """

    subject: Subject
    request: type[Request]
    reply: type[Reply]
    answered_by: str
    called_by: tuple[str, ...]
    timeout_s: float = 30.0
    repeatable: bool = False
    inside: Subject | None = None

    def asked_at(self, *, by_tenant: bool) -> Subject:
        """Where a tenant's client, or a service, asks."""
        return self.subject if by_tenant or self.inside is None else self.inside


@dataclass(frozen=True)
class Stream(Generic[Request, End]):
    """A request answered by ordered frames of bytes, then a typed end or a Failure. At most once.

    The caller grants credit (a window of frames); a producer without credit waits; a caller who goes away stops it;
    a producer that dies is noticed by missing keep-alives.
    """

    subject: Subject
    request: type[Request]
    end: type[End]
    answered_by: str
    called_by: tuple[str, ...]
    timeout_s: float = 600.0


@dataclass(frozen=True)
class StreamStore:
    """One JetStream stream, exactly as it must be. Sizes in bytes, ages in seconds; 0 is without limit."""

    name: str
    subjects: tuple[str, ...]
    work_queue: bool = False
    memory: bool = False
    discard_new: bool = False
    max_bytes: int = 0
    max_age_s: int = 0
    max_msg_bytes: int = 1024 * 1024
    duplicate_window_s: int = 120
    ttl: bool = False
    schedules: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    compressed: bool = False


@dataclass(frozen=True)
class Event(Generic[Body]):
    """Something that happened, kept for a while; at least once, any number of listeners.

    With `stored=False` it is published without waiting for the stream's acknowledgement (live tokens).
    """

    subject: Subject
    body: type[Body]
    store: StreamStore
    emitted_by: tuple[str, ...]
    heard_by: tuple[str, ...]


@dataclass(frozen=True)
class Consumer:
    """One durable pull consumer on a stream. `held_max` is how many may be delivered and not yet acknowledged.

    `filter`: "" is all of the stream.
    `gather_s`: how long a listener waits for more before it handles what has come; for work that nobody waits for.
    """

    name: str
    store: StreamStore
    filter: str
    used_by: str
    ack_wait_s: int = 30
    held_max: int = 1000
    gather_s: float = 0.0


@dataclass(frozen=True)
class Work(Generic[Body]):
    """A task: at least once, one worker at a time, then the dead-letter stream.

    `formerly`: where older versions stored it; what still lies there after an upgrade is carried out all the same.
    """

    subject: Subject
    body: type[Body]
    consumer: Consumer
    assigned_by: tuple[str, ...]
    attempts_max: int = 5
    formerly: tuple[Subject, ...] = ()

    def parse(self, subject: str) -> dict[str, str]:
        """The tokens of a stored task's subject. Raises SubjectMismatch."""
        for former in self.formerly:
            try:
                return former.parse(subject)
            except SubjectMismatch:
                continue
        return self.subject.parse(subject)


@dataclass(frozen=True)
class Journal(Generic[Body]):
    """An append-only log per key; one writer at a time, fenced by the expected last sequence."""

    subject: Subject
    body: type[Body]
    store: StreamStore
    written_by: tuple[str, ...]
    read_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bucket(Generic[Body]):
    """Latest value per key, with compare-and-set; `ttl_s` after its last write a key is gone (0: never).

    `watched`: whoever may read it may also hear of every change at once. With `max_bytes` (0: none) the oldest values
    make room for new ones; without it a bucket refuses what does not fit.
    """

    name: str
    body: type[Body]
    written_by: tuple[str, ...]
    read_by: tuple[str, ...] = field(default=())
    ttl_s: int = 0
    watched: bool = False
    max_bytes: int = 0

    @property
    def store(self) -> StreamStore:
        """The stream under this bucket (`KV_<name>`)."""
        return StreamStore(
            f"KV_{self.name}",
            (f"$KV.{self.name}.>",),
            discard_new=not self.max_bytes,
            max_bytes=self.max_bytes,
            max_age_s=self.ttl_s,
        )
