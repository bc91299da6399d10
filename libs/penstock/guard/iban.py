"""IBAN: the length that each country has, and the check by modulus 97 (ISO 13616, registry of 2025)."""

from collections.abc import Iterator

from penstock.guard.checksum import mod97
from penstock.guard.finding import Finding
from penstock.guard.rule import Match, Rule, finding

_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FO FI GL NL SD FK",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU XK MN",
        "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM TL SO",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "PT LY ST",
        "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HU LB NI PL SV",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}


_GAPS = (b" ", b"\xa0", b"-", b".")


def _iban(match: Match) -> Iterator[Finding]:
    """As long as its country says; what follows in the match is other words."""
    view, (start, end) = match.view, match.it
    length = _LENGTHS.get(view.data[start : start + 2].decode("latin-1").upper(), 0)
    if not length:
        return
    at = start + length
    while (extra := start + length + sum(view.data.count(gap, start, at) for gap in _GAPS)) > at:
        at = extra
    plain = view.data[start:at].translate(None, b"".join(_GAPS)).decode("latin-1")
    follows = view.data[at : at + 1]
    if at <= end and plain.isascii() and plain.isalnum() and not follows.isalnum() and mod97(plain.upper()):
        yield finding(view, (start, at), "IBAN")


IBAN_RULE = Rule(r"\b[A-Za-z]{2}\d{2}(?:[ \xa0\-.]?[A-Za-z0-9]){11,42}", _iban, resume="start")
