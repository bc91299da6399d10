"""Texts into the words that are matched: folded, without plural endings, names of code taken apart. Pure.

Plurals after Harman's S stemmer ("How effective is suffixing?", JASIS 42, 1991). Scripts without spaces give pairs of
letters.
"""

import re
import unicodedata

_WORD = re.compile("[^\\W_]+(?:[_.'\u2019-][^\\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f]")
_LONGEST = 64


def words(text: str) -> list[str]:
    """In order, with repetitions. A compound (`max_in_flight`, `readTimeout`, `state-of-the-art`) gives itself and its
    parts."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text)):
        whole = match[0]
        if _UNSPACED.search(whole):
            found += _pairs(whole)
            continue
        parts = [part for piece in _PART.findall(whole) for part in _CAMEL.split(piece)]
        if len(parts) > 1 and len(whole) <= _LONGEST:
            found.append(whole.casefold())
        found += [_singular(part[:_LONGEST].casefold()) for part in parts]
    return found


def _pairs(text: str) -> list[str]:
    return [text[place : place + 2] for place in range(len(text) - 1)] or [text]


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s"):
        return word
    if word.endswith("ies") and word[-4] not in "ae":
        return word[:-3] + "y"
    if word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    return word if word[-2] in "us" else word[:-1]
