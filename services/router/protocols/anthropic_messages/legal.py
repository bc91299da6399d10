"""Tool names and call ids as Anthropic allows them (letters, digits, `_` and `-`), and back. Pure.

A character that is not allowed stands as `_X` + its code point in hexadecimal + `_`; so does a `_` that would be read
as the beginning of one. Different words stay different, and legal ones stay as they are.
"""

import re

NAME_MAX_CHARS = 128
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]|_(?=X[0-9A-F]*_)")
_ESCAPED = re.compile(r"_X([0-9A-F]{1,6})_")
_EMPTY = "_X_"
_SURROGATES = range(0xD800, 0xE000)
_CODE_POINTS = 0x110000
_NAMESPACE_END = "\x1f"


def legal(word: str) -> str:
    """The word as it may stand on the wire."""
    return _ILLEGAL.sub(lambda found: f"_X{ord(found[0]):X}_", word) if word else _EMPTY


def original(word: str) -> str:
    """What `legal` was given; a word that it never writes is its own original."""
    if "_X" not in word:
        return word
    found = "" if word == _EMPTY else _ESCAPED.sub(_character, word)
    return found if legal(found) == word else word


def wire_name(name: str, namespace: str = "") -> str:
    """One name for a tool in its namespace. May be longer than NAME_MAX_CHARS."""
    return legal(f"{namespace}{_NAMESPACE_END}{name}" if namespace else name)


def tool_name(word: str) -> tuple[str, str]:
    """The name and the namespace ("" when it has none)."""
    namespace, end, name = original(word).partition(_NAMESPACE_END)
    return (name, namespace) if end else (namespace, "")


def _character(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return found[0] if code in _SURROGATES or code >= _CODE_POINTS else chr(code)
