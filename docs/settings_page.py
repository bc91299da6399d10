"""Makes docs/reference/configuration.md: every setting of every service, out of their Config structs and docstrings."""

import importlib
import re
from collections.abc import Iterator

import msgspec

from penstock.contracts.services import SERVICES
from penstock.kit.config import PREFIX, KitConfig, Secret, describe
from services.gateway.config import Config as Gateway

HEAD = """# Configuration

Made from the `Config` of each service by `make docs`; a test keeps it true.

A service reads its settings from the environment, once, when it starts, and writes them into its log (secrets hidden).
A value that cannot be used is refused with a sentence that says what to write, and the service ends with status 2. A
`PENSTOCK_` name that a service does not know is named in a warning. Lists are written as JSON. A secret may be given
as a file: `PENSTOCK_STORE_URL_FILE=/run/secrets/store` in place of `PENSTOCK_STORE_URL`.

Sizes are in bytes, times in seconds. `penstock up` sets what a plane on one machine needs; of your own environment it
passes on everything but `PENSTOCK_` names, and provider keys (`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`,
`GEMINI_API_KEY`) to the router alone.
"""

CLIENT = """
## The client library and the command

`penstock.connect()` and the `penstock` command look for these. What is not set comes from `profile.json` in the data
folder, which `penstock up` writes.

| setting | meaning |
|---|---|
| `PENSTOCK_DATA` | the data folder; without it `.penstock` here or above, else `~/.local/share/penstock` |
| `PENSTOCK_URL` | the broker, such as `nats://127.0.0.1:4222` |
| `PENSTOCK_TENANT` | the tenant, `default` if not set |
| `PENSTOCK_SEED_FILE` | an nkey seed to connect by, where the broker knows it; else the API key is |
| `PENSTOCK_CA_FILE` | the authority that signed the broker's certificate |
| `PENSTOCK_API_KEY`, `PENSTOCK_API_KEY_FILE` | the API key, or the file it stands in |
| `PENSTOCK_HTTP_URL` | the HTTP edge, for programs that look it up in the profile |
"""


class Entry(msgspec.Struct):
    """Settings that are explained together."""

    names: list[str]
    meaning: str


def configuration() -> str:
    """The page."""
    parts = [HEAD, "\n## Every service\n", *_table(KitConfig, frozenset(), defaults_of=Gateway)]
    shared = frozenset(KitConfig.__struct_fields__)
    for service in SERVICES:
        config = importlib.import_module(f"services.{service}.config").Config
        parts += [f"\n## {service}\n", *_table(config, shared, defaults_of=config)]
    return "\n".join(parts) + "\n" + CLIENT


def _table(kind: type[KitConfig], without: frozenset[str], *, defaults_of: type[KitConfig]) -> Iterator[str]:
    fields = {field.name: field for field in msgspec.structs.fields(defaults_of)}
    names = [name for name in kind.__struct_fields__ if name not in without]
    yield "| setting | write | default | meaning |\n|---|---|---|---|"
    for entry in explained(kind.__doc__ or "", names):
        cells = [
            "<br>".join(f"`{PREFIX}{name.upper()}`" for name in entry.names),
            "<br>".join(
                "a secret" if fields[name].type is Secret else describe(fields[name].type) for name in entry.names
            ),
            "<br>".join(_default(fields[name]) for name in entry.names),
            entry.meaning.replace("|", "\\|"),
        ]
        yield "| " + " | ".join(cells) + " |"


def explained(text: str, names: list[str]) -> list[Entry]:
    """What a docstring says of each name, in the docstring's order. Raises ValueError for a name that it leaves out.

    An explanation begins with `name:` or `name, name:`, or with a sentence whose first word is a name.
    """
    words = " ".join(text.split())
    one = "|".join(sorted(names, key=len, reverse=True))
    start = re.compile(rf"(?:^|(?<=[.;] ))((?:{one})(?:(?:, |; | and )(?:{one}))*)(: | (?=[a-z]))")
    found = list(start.finditer(words))
    entries: list[Entry] = []
    for match, following in zip(found, [*found[1:], None], strict=True):
        own = [name for name in re.findall(r"\w+", match[1]) if name in names]
        end = following.start() if following else len(words)
        meaning = words[match.end() if match[2] == ": " else match.start() : end].strip().rstrip(";.")
        known = {name for entry in entries for name in entry.names}
        mentioned = [name for name in re.findall(r"\w+", meaning) if name in names]
        group = [name for name in dict.fromkeys([*own, *mentioned]) if name not in known]
        entries.append(Entry(group, _spelt(meaning, names)))
    missing = set(names) - {name for entry in entries for name in entry.names}
    if missing:
        raise ValueError(f"no word about {', '.join(sorted(missing))}")
    return [entry for entry in entries if entry.names]


def _spelt(meaning: str, names: list[str]) -> str:
    """With settings in the spelling of the environment."""
    return re.sub(
        r"\b\w+\b",
        lambda word: f"`{PREFIX}{word[0].upper()}`" if word[0] in names and "_" in word[0] else word[0],
        meaning,
    )


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "must be set"
    value = field.default.reveal() if isinstance(field.default, Secret) else field.default
    if value in ("", ()):
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`" if value < 1_000_000 else f"`{value:.0f}`"
    if field.name.endswith("_bytes") and isinstance(value, int) and value >= 1024:
        unit, size = ("MiB", 2**20) if value % 2**20 == 0 else ("KiB", 2**10)
        return f"`{value}` ({value // size} {unit})"
    return f"`{value}`"
