"""What a caller asks of the plane beside its body, in headers of the request. Pure."""

import re
from collections.abc import Mapping

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import (
    ACCEPT_LOSSES,
    NO_STORE,
    ONLY,
    REFRESH,
    REFUSE_LOSSES,
    REPORT_LOSSES,
    UPSTREAM_HEADERS,
    CompletionRequest,
    Template,
)

SESSION = "x-penstock-session"
SESSION_HEADERS = ("x-session-id", "x-session-affinity", "x-claude-code-session-id", "session-id")
"""What clients that know nothing of us call their conversation."""
LABELS = "x-penstock-labels"
LOSSES = "x-penstock-losses"
CACHE = "x-penstock-cache"
PROMPT = "x-penstock-prompt"
VARIABLES = "x-penstock-variables"
SUMMARY = "x-penstock-summary"
RESUMABLE = "x-penstock-resumable"

SESSION_MAX_CHARACTERS = 256
LABELS_MAX = 32
UPSTREAM_HEADER_MAX_CHARACTERS = 4096

_LABEL = re.compile(r"([A-Za-z0-9_.-]{1,64})=([\x21-\x2b\x2d-\x7e]{1,128})\Z")
_PROMPT = re.compile(r"([A-Za-z0-9_.-]{1,64})(?:@([A-Za-z0-9_.-]{1,64}))?\Z")
_variables = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Asks(msgspec.Struct, frozen=True):
    """`summary`: whether a stream ends with a comment that says what it used and cost. `resumable`: whether it can be
    come back to."""

    headers: dict[str, str]
    session: str
    labels: dict[str, str]
    losses: str
    cache: str
    prompt: Template | None
    summary: bool
    resumable: bool

    def request(self, surface: str, model: str, body: bytes, *, streamed: bool) -> CompletionRequest:
        """The model call that the caller wants."""
        return CompletionRequest(
            model,
            msgspec.Raw(body),
            surface,
            self.headers,
            self.session,
            self.labels,
            self.losses,
            self.cache,
            self.prompt,
            headed=streamed,
            resumable=streamed and self.resumable,
        )


def asks(fields: Mapping[str, list[str]]) -> Asks:
    """`fields`: the request's headers, names in lower case. Raises Failure(INVALID) that names the header at fault."""
    return Asks(
        upstream(fields),
        _session(fields),
        _labels(fields),
        _one_of(fields, LOSSES, ("", REPORT_LOSSES, REFUSE_LOSSES, ACCEPT_LOSSES)) or REPORT_LOSSES,
        _one_of(fields, CACHE, ("", NO_STORE, ONLY, REFRESH)),
        _prompt(fields),
        _one_of(fields, SUMMARY, ("", "true", "false")) == "true",
        _one_of(fields, RESUMABLE, ("", "true", "false")) == "true",
    )


def upstream(fields: Mapping[str, list[str]]) -> dict[str, str]:
    """Those that may reach a provider; one that came more than once is one list."""
    found = {}
    for name in sorted(UPSTREAM_HEADERS & fields.keys()):
        value = ",".join(fields[name]).strip()
        if len(value) > UPSTREAM_HEADER_MAX_CHARACTERS or not _plain(value):
            raise _wrong(name, f"at most {UPSTREAM_HEADER_MAX_CHARACTERS} printable ASCII characters")
        if value:
            found[name] = value
    return found


def _session(fields: Mapping[str, list[str]]) -> str:
    own = _value(fields, SESSION)
    if len(own) > SESSION_MAX_CHARACTERS or not _plain(own):
        raise _wrong(SESSION, f"at most {SESSION_MAX_CHARACTERS} printable ASCII characters")
    if own:
        return own
    # those of other programs are a hint: one that cannot be used is none
    for name in SESSION_HEADERS:
        value = _value(fields, name)
        if value and len(value) <= SESSION_MAX_CHARACTERS and _plain(value):
            return value
    return ""


def _labels(fields: Mapping[str, list[str]]) -> dict[str, str]:
    labels = {}
    for pair in ",".join(fields.get(LABELS, [])).split(","):
        if not pair.strip():
            continue
        found = _LABEL.match(pair.strip())
        if found is None:
            raise _wrong(LABELS, "a list such as `team=north, task=triage`")
        labels[found[1]] = found[2]
    if len(labels) > LABELS_MAX:
        raise _wrong(LABELS, f"at most {LABELS_MAX} labels")
    return labels


def _prompt(fields: Mapping[str, list[str]]) -> Template | None:
    named = _value(fields, PROMPT)
    values = _value(fields, VARIABLES)
    if not named:
        if values:
            raise _wrong(VARIABLES, f"sent together with {PROMPT}")
        return None
    found = _PROMPT.match(named)
    if found is None:
        raise _wrong(PROMPT, "a template's name, or `name@version`")
    try:
        variables = _variables.decode(values.encode("latin-1")) if values else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _wrong(VARIABLES, "a JSON object") from None
    return Template(found[1], found[2] or "", variables)


def _one_of(fields: Mapping[str, list[str]], name: str, values: tuple[str, ...]) -> str:
    value = _value(fields, name).lower()
    if value not in values:
        raise _wrong(name, " or ".join(value for value in values if value))
    return value


def _value(fields: Mapping[str, list[str]], name: str) -> str:
    values = fields.get(name, [])
    if len(values) > 1:
        raise _wrong(name, "sent once")
    return values[0].strip() if values else ""


def _plain(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _wrong(name: str, must: str) -> Failure:
    return Failure(Code.INVALID, f"{name} must be {must}", param=name)
