"""Text that people write or read about an approval, made harmless: one line, bounded, nothing invisible. Pure."""

import unicodedata

from penstock.contracts.errors import Code, Failure

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain(text: str, most: int) -> str:
    """On one line, without control and formatting characters (they hide, or turn text around), cut at `most`."""
    shown = "".join(" " if unicodedata.category(c) in _INVISIBLE else c for c in text[: most * 4])
    line = " ".join(unicodedata.normalize("NFC", shown).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def reason(text: str, most: int) -> str:
    """An approver's reason. Raises Failure(INVALID) when it is too long to be kept whole."""
    if len(text) > most:
        raise Failure(Code.INVALID, f"a reason has at most {most} characters", param="reason")
    return plain(text, most)
