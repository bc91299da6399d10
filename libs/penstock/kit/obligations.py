"""What a permit obliges to, as policies write it: `name` or `name:arguments`, several separated by ";". Pure.

redact:EMAIL,SSN (or `all`) both ways · redact_input · redact_output · pseudonymise:EMAIL (reversible placeholders) ·
cap:<output tokens> · pin:<deployment> · filter:<table>:<SQL condition> · read_only · max_rows:<n> ·
set:<argument>=<json>
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

ALL = "all"
TRANSFORMS = frozenset({"redact", "redact_input", "redact_output", "pseudonymise"})
KNOWN = TRANSFORMS | {"cap", "pin", "filter", "read_only", "max_rows", "set"}
"""Every obligation that somebody in the plane carries out."""
NUMBER_MAX = 10**9
_ENTITY = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@-]{0,127}\Z")
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(\.[A-Za-z_][A-Za-z0-9_]{0,63})?\Z")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")


class BadObligation(ValueError):
    """An obligation that nobody can carry out as it is written; the text says what to write."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Only rows of `table` (lower case) for which `condition` holds."""

    table: str
    condition: str


@dataclass(frozen=True, slots=True)
class Obligations:
    """All of a permit's together, the strictest of each. Entities are names in capitals, or `all` alone.

    `cap`, `max_rows`: 0 for none. `sets`: arguments to put in, as JSON.
    """

    redact_input: frozenset[str] = frozenset()
    redact_output: frozenset[str] = frozenset()
    pseudonymise: frozenset[str] = frozenset()
    cap: int = 0
    pin: str = ""
    filters: tuple[Filter, ...] = ()
    read_only: bool = False
    max_rows: int = 0
    sets: dict[str, msgspec.Raw] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    """As they were written, each once, sorted: the same texts oblige to the same."""

    def __bool__(self) -> bool:
        return bool(self.texts)


NONE = Obligations()


def split(text: str) -> tuple[str, ...]:
    """The obligations of an annotation. A ";" in quotes or brackets is part of one, as SQL and JSON may have it."""
    parts = [""]
    quote, depth = "", 0
    escaped = False
    for sign in text:
        if quote:
            quote = "" if sign == quote and not escaped else quote
            escaped = sign == "\\" and not escaped
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == ";" and depth <= 0:
            parts.append("")
            continue
        parts[-1] += sign
    return tuple(part.strip() for part in parts if part.strip())


def check(obligation: str) -> None:
    """Raises BadObligation for a known name with arguments that make no sense. Names nobody knows pass: whoever meets
    one refuses."""
    if obligation.partition(":")[0] in KNOWN:
        merge([obligation])


def merge(obligations: Iterable[str]) -> Obligations:
    """All together: the lowest cap, the union of entities, every filter. Raises BadObligation for an unknown one, for
    one that cannot be read, and for two that cannot both be met."""
    texts = tuple(sorted(set(obligations)))
    if not texts:
        return NONE
    merging = _Merging()
    for text in texts:
        merging.take(text)
    return merging.whole(texts)


class _Merging:
    def __init__(self) -> None:
        self._entities: dict[str, set[str]] = {"input": set(), "output": set(), "pseudonymise": set()}
        self._numbers: dict[str, int] = {}
        self._pin = ""
        self._filters: list[Filter] = []
        self._read_only = False
        self._sets: dict[str, msgspec.Raw] = {}

    def take(self, text: str) -> None:
        name, colon, arguments = text.partition(":")
        arguments = arguments.strip()
        if name not in KNOWN:
            raise BadObligation(f"the obligation {name[:80]!r} is not known; write one of {', '.join(sorted(KNOWN))}")
        match name:
            case "redact":
                found = _entities(name, arguments)
                self._entities["input"] |= found
                self._entities["output"] |= found
            case "redact_input" | "redact_output" | "pseudonymise":
                self._entities[name.removeprefix("redact_")] |= _entities(name, arguments)
            case "cap" | "max_rows":
                number = _number(name, arguments)
                self._numbers[name] = min(number, self._numbers.get(name, number))
            case "pin":
                self._take_pin(arguments)
            case "filter":
                self._filters.append(_filter(arguments))
            case "set":
                self._take_set(arguments)
            case _:
                if colon:
                    raise BadObligation(f"{name} takes no arguments; write {name} alone")
                self._read_only = True

    def _take_pin(self, deployment: str) -> None:
        if not _NAME.match(deployment):
            raise BadObligation("pin names one deployment; write pin:<deployment>")
        if self._pin not in ("", deployment):
            raise BadObligation(f"two deployments are pinned: {self._pin} and {deployment}")
        self._pin = deployment

    def _take_set(self, arguments: str) -> None:
        name, equals, value = arguments.partition("=")
        name = name.strip()
        try:
            msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            equals = ""
        if not equals or not _ARGUMENT.match(name):
            raise BadObligation("set gives an argument a JSON value; write set:<argument>=<json>")
        raw = msgspec.Raw(value.strip().encode())
        if name in self._sets and bytes(self._sets[name]) != bytes(raw):
            raise BadObligation(f"the argument {name} is set to two values")
        self._sets[name] = raw

    def whole(self, texts: tuple[str, ...]) -> Obligations:
        return Obligations(
            redact_input=_merged(self._entities["input"]),
            redact_output=_merged(self._entities["output"]),
            pseudonymise=_merged(self._entities["pseudonymise"]),
            cap=self._numbers.get("cap", 0),
            pin=self._pin,
            filters=tuple(dict.fromkeys(self._filters)),
            read_only=self._read_only,
            max_rows=self._numbers.get("max_rows", 0),
            sets=self._sets,
            texts=texts,
        )


def _entities(name: str, arguments: str) -> set[str]:
    found = {part.strip() for part in arguments.split(",")}
    if found == {ALL}:
        return found
    if not all(_ENTITY.match(entity) for entity in found):
        raise BadObligation(f"{name} names kinds in capitals, such as {name}:EMAIL,SSN, or {name}:all")
    return found


def _merged(entities: set[str]) -> frozenset[str]:
    return frozenset({ALL}) if ALL in entities else frozenset(entities)


def _number(name: str, arguments: str) -> int:
    if not (arguments.isascii() and arguments.isdigit() and 1 <= int(arguments[:10]) <= NUMBER_MAX):
        raise BadObligation(f"{name} takes a whole number of at least 1; write {name}:100")
    return int(arguments[:10])


def _filter(arguments: str) -> Filter:
    table, colon, condition = arguments.partition(":")
    if not colon or not _TABLE.match(table.strip()) or not condition.strip():
        raise BadObligation("filter names a table and a condition; write filter:<table>:<SQL condition>")
    return Filter(table.strip().lower(), condition.strip())
