"""What a job asks for, by its kind, read from its `input`. Pure; what is wrong is Failure(INVALID) with its field."""

from typing import TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.jobs import MAX_LABELS, Job

LABEL_MAX_CHARS = 256
NAME_MAX_CHARS = 128
KEY_MAX_CHARS = 512
DEADLINE_MAX_S = 7 * 24 * 3600
T = TypeVar("T")


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a conversation in the OpenAI chat shape."""

    role: str
    content: str


class Conversation(msgspec.Struct, frozen=True):
    """What a chat or an agent is given. `options`: any other field of an OpenAI chat request, as it came."""

    messages: list[msgspec.Raw]
    options: dict[str, msgspec.Raw] = {}


class RetrieveAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`limit`: passages at most."""

    query: str
    limit: int = 5


class IngestAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document to keep under `source`."""

    source: str
    text: str
    title: str = ""
    media_type: str = "text/markdown"


class _Role(msgspec.Struct, frozen=True):
    role: str


def conversation(job: Job) -> Conversation:
    """The input of a chat or an agent job: a text, or {"messages": [...], ...}."""
    if bytes(job.input).lstrip()[:1] == b'"':
        text = _read(job, str)
        if not text.strip():
            raise _invalid("input", "the text is empty")
        return Conversation([encoded(Message("user", text))])
    fields = _read(job, dict[str, msgspec.Raw])
    messages = _messages(fields.pop("messages", msgspec.Raw(b"null")))
    if job.kind == "agent" and fields:
        raise _invalid("input", f"an agent's input has only `messages`, not `{sorted(fields)[0]}`")
    for ours in ("model", "stream", "stream_options"):
        fields.pop(ours, None)  # the job names its model, and the answer is always streamed to us
    return Conversation(messages, fields)


def retrieve(job: Job) -> RetrieveAsk:
    """The input of a retrieve job: a text, or {"query", "limit"}."""
    text = bytes(job.input).lstrip()[:1] == b'"'
    ask = RetrieveAsk(_read(job, str)) if text else _read(job, RetrieveAsk)
    if not ask.query.strip():
        raise _invalid("input.query", "the query is empty")
    if not 1 <= ask.limit <= 100:
        raise _invalid("input.limit", "the limit must be from 1 to 100")
    return ask


def ingest(job: Job) -> IngestAsk:
    """The input of an ingest job."""
    ask = _read(job, IngestAsk)
    if not ask.source.strip():
        raise _invalid("input.source", "the source is empty")
    return ask


def tool_arguments(job: Job) -> msgspec.Raw:
    """The input of a tool job: the arguments object, as it came."""
    _read(job, dict[str, msgspec.Raw])
    return job.input


def check(job: Job, tenant_kind: str) -> None:
    """Refuses a job that cannot be carried out as it is written. `tenant_kind` is the kind that its subject names."""
    if job.kind != tenant_kind:
        raise _invalid("kind", f"the job says `{job.kind}`, its subject `{tenant_kind}`")
    _check_fields(job)
    match job.kind:
        case "chat":
            conversation(job)
        case "agent":
            if not job.agent:
                raise _invalid("agent", "an agent job names its agent")
            conversation(job)
        case "tool":
            if not job.tool:
                raise _invalid("tool", "a tool job names its tool")
            tool_arguments(job)
        case "retrieve":
            retrieve(job)
        case "ingest":
            ingest(job)


def _check_fields(job: Job) -> None:
    for name, text in (("id", job.id), ("session", job.session), ("collection", job.collection)):
        if text and not is_token(text):
            raise _invalid(name, "it must be 1 to 64 of A-Z a-z 0-9 _ and -")
    for name, text in (("agent", job.agent), ("model", job.model), ("tool", job.tool)):
        if len(text) > NAME_MAX_CHARS:
            raise _invalid(name, f"it is longer than {NAME_MAX_CHARS} characters")
    if len(job.idempotency_key) > KEY_MAX_CHARS:
        raise _invalid("idempotency_key", f"it is longer than {KEY_MAX_CHARS} characters")
    if not 0 <= job.budget.usd <= 1e9:
        raise _invalid("budget.usd", "it must be from 0 (no limit) to a billion")
    if job.budget.tokens < 0:
        raise _invalid("budget.tokens", "it must be 0 (no limit) or more")
    if not 0 <= job.deadline_s <= DEADLINE_MAX_S:
        raise _invalid("deadline_s", f"it must be from 0 (the default) to {DEADLINE_MAX_S} seconds")
    _check_labels(job.labels)


def _check_labels(labels: dict[str, str]) -> None:
    if len(labels) > MAX_LABELS:
        raise _invalid("labels", f"there are more than {MAX_LABELS}")
    if any(len(text) > LABEL_MAX_CHARS for pair in labels.items() for text in pair):
        raise _invalid("labels", f"a name or value is longer than {LABEL_MAX_CHARS} characters")


def _messages(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        messages = msgspec.json.decode(raw, type=list[msgspec.Raw])
        for message in messages:
            msgspec.json.decode(message, type=_Role)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid("input.messages", "it must be a list of objects, each with a role") from error
    if not messages:
        raise _invalid("input.messages", "there is no message")
    return [msgspec.Raw(bytes(message)) for message in messages]


def _read(job: Job, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(job.input, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid("input", f"it cannot be read as the input of a {job.kind} job: {error}") from error


def _invalid(param: str, why: str) -> Failure:
    return Failure(Code.INVALID, f"{param}: {why}", param=param)


def encoded(value: msgspec.Struct) -> msgspec.Raw:
    """`value` as JSON that can stand in another body."""
    return msgspec.Raw(msgspec.json.encode(value))
