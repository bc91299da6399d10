"""A service's settings: one frozen struct, read once from the environment, refused with a sentence when it is wrong.

Field `drain_s` is `PENSTOCK_DRAIN_S`. A Secret `x` is `PENSTOCK_X`, or better what stands in the file that
`PENSTOCK_X_FILE` names. Lists and tables are written as JSON.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, inspect

from penstock.contracts.errors import Code, Failure
from penstock.kit.log import Level, Value

PREFIX = "PENSTOCK_"
SECRET_FILE_MAX_BYTES = 64 * 1024
HIDDEN = "[hidden]"

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]


class Secret:
    """A text that is never shown: printing, logging and formatting give `[hidden]`. `reveal()` where it is used."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return HIDDEN if self._text else "Secret()"

    __str__ = __repr__


class KitConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What every service has; its own struct inherits: `class Config(KitConfig, frozen=True, kw_only=True)`.

    nats_url: the broker, or several separated by commas.
    nats_seed_file: the service's own nkey seed; "" when the broker asks for none.
    nats_ca_file: the authority that signed the broker's certificate; "" without TLS.
    nats_connect_timeout_s: one try to connect; tries go on until the service is stopped.
    health_host, health_port: where /live, /ready and /metrics are; port 0 takes a free one (see the `ready` line).
    log_level: lines of a lower level are not written.
    drain_s: after SIGTERM, how long running handlers and records may take to finish.
    data_dir: where this service may write; config_dir: where its files (models, tools, policies) are.
    audit_queue_max: audit records that may wait for the broker; above it new actions are refused.
    audit_wait_s: how long a new action waits for room in that queue.
    tokens_cached_max: verified tokens that are remembered until they expire.
    fail_open_remembered_max: what @fail_open rules permitted lately, as much of it as is remembered for when policy
    cannot be asked. fail_open_ask_s: how long policy may take for a question whose answer is remembered.
    check_every_s: how often readiness asks the broker.
    spans_queue_max: spans that may wait for their receiver, where they are exported; above it they are dropped.
    spans_batch_max: spans in one request to it; spans_every_s: how long a span waits for others.
    """

    nats_url: Annotated[str, Meta(min_length=1)] = "nats://127.0.0.1:4222"
    nats_seed_file: str = ""
    nats_ca_file: str = ""
    nats_connect_timeout_s: Seconds = 5.0
    health_host: str = "127.0.0.1"
    health_port: Port = 0
    log_level: Level = "info"
    drain_s: Seconds = 25.0
    data_dir: str = ".penstock"
    config_dir: str = ""
    audit_queue_max: Count = 10_000
    audit_wait_s: Seconds = 2.0
    tokens_cached_max: Count = 10_000
    fail_open_remembered_max: Count = 1000
    fail_open_ask_s: Annotated[float, Meta(gt=0)] = 2.0
    check_every_s: Annotated[float, Meta(gt=0)] = 2.0
    spans_queue_max: Count = 4096
    spans_batch_max: Count = 512
    spans_every_s: Annotated[float, Meta(gt=0)] = 1.0


ConfigType = TypeVar("ConfigType", bound=KitConfig)


class ConfigError(ValueError):
    """Settings that cannot be used: one sentence each that says what to write. Never shows a secret's text."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def load(config_type: type[ConfigType], env: Mapping[str, str]) -> ConfigType:
    """The settings as `env` has them, defaults for the rest. Raises ConfigError with every problem there is."""
    values: dict[str, object] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(config_type):
        name = PREFIX + field.name.upper()
        try:
            if field.type is Secret:
                values.update({field.name: found} if (found := _secret(name, env)) is not None else {})
            elif name in env:
                values[field.name] = _value(name, env[name], field.type)
            elif field.required:
                problems.append(f"{name} must be set: write {describe(field.type)}.")
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return msgspec.convert(values, config_type, dec_hook=_as_it_is)


def unknown_names(config_type: type[ConfigType], env: Mapping[str, str]) -> list[str]:
    """PENSTOCK_ names in `env` that mean nothing to this service: misspelt, or meant for another."""
    known = set()
    for field in msgspec.structs.fields(config_type):
        known.add(PREFIX + field.name.upper())
        if field.type is Secret:
            known.add(f"{PREFIX}{field.name.upper()}_FILE")
    return sorted(name for name in env if name.startswith(PREFIX) and name not in known)


def shown(config: KitConfig) -> dict[str, Value]:
    """The settings as they may be printed: secrets hidden, passwords in addresses too."""
    return {name: _shown(value) for name, value in msgspec.structs.asdict(config).items()}


def describe(kind: object) -> str:
    """What may be written for a field of this type, in words."""
    return _describe(inspect.type_info(kind))


def _as_it_is(_kind: type, value: object) -> object:
    return value


def _shown(value: object) -> Value:
    if isinstance(value, bool | int | float):
        return value
    return re.sub(r"(?<=://)[^/\s@]+(?=@)", HIDDEN, str(value))


def _secret(name: str, env: Mapping[str, str]) -> Secret | None:
    file = f"{name}_FILE"
    if name in env and file in env:
        raise ConfigError([f"{name} and {file} are both set: keep one of them."])
    if name in env:
        return Secret(env[name])
    if file not in env:
        return None
    try:
        with Path(env[file]).open("rb") as content:
            text = content.read(SECRET_FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{file} must name a file that can be read: {env[file]!r}: {error.strerror}."]) from None
    if len(text) > SECRET_FILE_MAX_BYTES or not text.strip():
        raise ConfigError([f"{file} must name a file with 1 to {SECRET_FILE_MAX_BYTES} bytes of text: {env[file]!r}."])
    try:
        return Secret(text.decode().strip())
    except UnicodeDecodeError:
        raise ConfigError([f"{file} must name a file of UTF-8 text: {env[file]!r}."]) from None


def _value(name: str, text: str, kind: object) -> object:
    info = inspect.type_info(kind)
    try:
        if isinstance(
            info,
            inspect.StrType | inspect.IntType | inspect.FloatType | inspect.BoolType | inspect.LiteralType,
        ):
            return msgspec.convert(text.strip(), kind, strict=False)
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError:
        raise ConfigError([f"{name} must be {_describe(info)}, not {_cut(text)!r}."]) from None


def _cut(text: str) -> str:
    return re.sub(r"(?<=://)[^/\s@]+(?=@)", HIDDEN, text if len(text) <= 80 else text[:77] + "...")


def _describe(info: inspect.Type) -> str:
    if isinstance(info, inspect.IntType):
        return "a whole number" + _bounds(info)
    if isinstance(info, inspect.FloatType):
        return "a number" + _bounds(info)
    if isinstance(info, inspect.BoolType):
        return "true or false"
    if isinstance(info, inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in info.values)
    if isinstance(info, inspect.StrType):
        return "a text" + (" that is not empty" if info.min_length else "")
    if isinstance(info, inspect.ListType | inspect.VarTupleType | inspect.SetType):
        return f"a JSON list, each item {_describe(info.item_type)}"
    return "JSON of the right shape"


def _bounds(info: inspect.IntType | inspect.FloatType) -> str:
    low, high = info.ge, info.le
    if info.gt is not None:
        return f" above {info.gt:g}"
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" of at least {low:g}"
    return f" of at most {high:g}" if high is not None else ""


def read_file(path: str, what: str, max_bytes: int) -> bytes:
    """A settings file as bytes. Raises Failure(INVALID) with a sentence when it cannot be read or is too large."""
    try:
        with Path(path).open("rb") as content:
            text = content.read(max_bytes + 1)
    except OSError as error:
        raise Failure(Code.INVALID, f"{what} cannot be read: {path}: {error.strerror}") from None
    if len(text) > max_bytes:
        raise Failure(Code.INVALID, f"{what} is larger than {max_bytes} bytes: {path}")
    return text
