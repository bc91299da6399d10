"""Numbers with letters in them: passports and their machine-readable lines, NINO, DNI, codice fiscale; birth dates."""

import re
from collections.abc import Iterator

from penstock.guard.checksum import codice_fiscale, dni, mrz
from penstock.guard.finding import Finding
from penstock.guard.rule import Match, Rule

_NINO_NEVER = frozenset({"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"})


def _passport(match: Match) -> Iterator[Finding]:
    if sum(char.isdigit() for char in match.text) >= 6:
        yield match.finding("PASSPORT")


def _passport_line(match: Match) -> Iterator[Finding]:
    """The second line of a passport: number, birth and expiry, each with its check digit."""
    line = match.text
    if mrz(line[:9], line[9]) and mrz(line[13:19], line[19]) and mrz(line[21:27], line[27]):
        yield match.finding("PASSPORT")


def _nino(match: Match) -> Iterator[Finding]:
    if match.text[:2].upper() not in _NINO_NEVER and not (match.text[:2].islower() and match.text[-1].isupper()):
        yield match.finding("NINO")


def _dni(match: Match) -> Iterator[Finding]:
    if dni(re.sub(r"[^0-9A-Z]", "", match.text.upper())):
        yield match.finding("DNI")


def _codice(match: Match) -> Iterator[Finding]:
    if codice_fiscale(match.text.upper()):
        yield match.finding("CODICE_FISCALE")


def _birth_date(match: Match) -> Iterator[Finding]:
    yield match.finding("BIRTH_DATE")


_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:19|20)\d\d"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_DATE = (
    rf"(?:{_YEAR}[\-./]{_DAY}[\-./]{_DAY}|{_DAY}[\-./ ]{_DAY}[\-./ ](?:{_YEAR}|\d\d)"
    rf"|{_DAY}(?:st|nd|rd|th)?[ \-]{_MONTH},?[ \-]{_YEAR}|{_MONTH} {_DAY}(?:st|nd|rd|th)?,? {_YEAR})"
)

_BORN = r"d\.?o\.?b\.?|date of birth|birth ?dat[ea]|birthday|born(?: on)?|geboren(?: am)?|n.e? le"
_PASSPORT = (
    r"pass(?:port|eport|aporte|aporto)?[ \-]?(?:no|nr|num|number|id|#|numero|:)?\b[^\n\d]{0,16}?[^\nA-Za-z0-9]"
    r"([A-Z]{0,2}\d{6,9}[A-Z]?)"
)
_PASSPORT_LINE = r"[A-Z0-9<]{9}[0-9<][A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[0-9<][0-9]"
_NINO = r"(?i:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z])[ \-]?\d\d[ \-]?\d\d[ \-]?\d\d[ \-]?(?i:[A-D])"

DOCUMENT_RULES = (
    Rule(rf"(?i)\b{_PASSPORT}\b", _passport, resume="start"),
    Rule(rf"\b{_PASSPORT_LINE}", _passport_line),
    Rule(rf"\b{_NINO}\b", _nino, resume="start"),
    Rule(r"(?i)\b(?:[XYZ][ \-]?\d{7}|\d{8})[ \-]?[A-HJ-NP-TV-Z]\b", _dni, resume="start"),
    Rule(r"(?i)\b[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]\b", _codice),
    Rule(rf"(?i)\b(?:{_BORN})[^\n\d]{{0,12}}?\b({_DATE})\b", _birth_date, resume="start"),
)
