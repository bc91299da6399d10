"""Makes docs/reference/cli.md: every command and option, out of the argument parser itself."""

import argparse
from collections.abc import Iterator

from penstock.cli.exits import MEANINGS
from penstock.cli.main import parser

HEAD = """# The `penstock` command

Made from `libs/penstock/cli` by `make docs`; a test keeps it true. `penstock COMMAND --help` says the same.

Every command takes `--json` (print JSON, one value per line; nothing else goes to standard output) and
`--data FOLDER` (the plane's data folder; `PENSTOCK_DATA`). Results go to standard output, notes to standard error.
"""


def cli() -> str:
    """The page."""
    parts = [HEAD, *_commands("penstock", parser())]
    parts += ["## Exit status", "", "| status | meaning |", "|---|---|"]
    parts += [f"| {status.value} | {meaning} |" for status, meaning in MEANINGS.items()]
    return "\n".join(parts) + "\n"


def _commands(name: str, above: argparse.ArgumentParser) -> Iterator[str]:
    for action in above._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        said = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for word, command in action.choices.items():
            below = list(_commands(f"{name} {word}", command))
            if below:
                yield from [f"## {name} {word}", "", f"{_sentence(said[word])}", "", *below]
            else:
                yield from _command(f"{name} {word}", said[word], command)


def _command(name: str, said: str, command: argparse.ArgumentParser) -> Iterator[str]:
    shown = [action for action in command._actions if action.dest not in ("help", "json", "data")]
    usage = " ".join([name, *(_usage(action) for action in shown)])
    heading = "##" if name.count(" ") == 1 else "###"
    yield from [f"{heading} {name}", "", _sentence(said), "", "```", *_wrapped(usage), "```", ""]
    rows = [(_names(action), _meaning(action)) for action in shown]
    if rows:
        yield from ["| argument | meaning |", "|---|---|"]
        yield from (f"| {names} | {meaning} |" for names, meaning in rows)
        yield ""


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        word = _value(action)
        return f"[{word}]" if action.nargs == "?" else word
    word = action.option_strings[0]
    return f"[{word}]" if action.nargs == 0 else f"[{word} {_value(action)}]"


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{_value(action)}`"
    value = "" if action.nargs == 0 else f" {_value(action)}"
    return ", ".join(f"`{word}{value}`" for word in action.option_strings)


def _value(action: argparse.Action) -> str:
    if action.metavar:
        return str(action.metavar)
    return action.dest.upper()


def _meaning(action: argparse.Action) -> str:
    parts = [action.help] if action.help else []
    if action.choices:
        parts.append("one of " + ", ".join(f"`{choice}`" for choice in action.choices if choice))
    if action.default and action.nargs != 0 and not isinstance(action.default, list):
        parts.append(f"default `{action.default}`")
    if isinstance(action, argparse._AppendAction):
        parts.append("may be given several times")
    return "; ".join(parts)


def _wrapped(usage: str) -> list[str]:
    """Lines of 100 characters, broken between arguments."""
    lines, words = [""], usage.replace("] [", "]\0[").split("\0")
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > 100:
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}".lstrip() if len(lines) == 1 else f"{lines[-1]} {word}"
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "." if text else ""
