"""Which numbers of people and accounts are in a run of digits: cards, phones, national numbers.

A number begins and ends where a group of digits does. What has a check digit is believed with it; what has none, or
is written as a bare row of digits, needs its usual form or a word in front that names it.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from penstock.guard.checksum import aba, cpf, luhn, nhs, nir, verhoeff
from penstock.guard.finding import Finding
from penstock.guard.phone import american_phone, european_phone, world_phone
from penstock.guard.rule import Match, Rule
from penstock.guard.run import RUN, Run, run_of, words

_CARD_SHAPES = ((4, 4, 4, 4, 3), (4, 4, 4, 4), (4, 6, 5), (4, 6, 4))
_CARD_LENGTHS = range(13, 20)
_UUID = re.compile(rb"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){0,3}\Z")


_SSN_WORDS = words("ssn", "ss#", "social security", "taxpayer", "tin")
_ITIN_WORDS = words("itin", "taxpayer", "tax id", "tin")
_ABA_WORDS = words("routing", "aba", "rtn", "routing transit", "transit")
_NHS_WORDS = words("nhs", "national health")
_AADHAAR_WORDS = words("aadhaar", "aadhar", "uidai", "uid")
_CPF_WORDS = words("cpf")
_SIN_WORDS = words("sin", "social insurance", "nas")


def _numbers(match: Match) -> Iterator[Finding]:
    start = match.it[0]
    run = run_of(match)
    data = match.view.data
    if data[max(0, start - 1) : start] == b"-" and _UUID.search(match.view.before(start, 24)):
        return
    yield from world_phone(run)
    yield from _whole(run)
    for first, length in enumerate(run.lengths):
        for look in _LOOKS.get(run.lengths[first : first + 2], ()):
            yield from look(run, first)
        for look in _BARE.get(length, ()):
            yield from look(run, first)
        if run.digits[first][0] == "0":
            yield from european_phone(run, first)


def _whole(run: Run) -> Iterator[Finding]:
    """A card in groups of any kind, when nothing else is in the run."""
    count = len(run.lengths)
    digits = "".join(run.digits) if count <= max(_CARD_LENGTHS) else ""
    start = run.spans[0][0]
    if run.view.data[max(0, start - 1) : start] == b"+":
        return
    if count > 1 and len(digits) in _CARD_LENGTHS and run.alone(0, count) and _issued(digits):
        yield run.finding(0, count, "CARD")


def _card(run: Run, first: int) -> Iterator[Finding]:
    shapes = _CARD_SHAPES if run.lengths[first] == 4 else ((run.lengths[first],),)
    for shape in shapes:
        if not run.shaped(first, shape):
            continue
        digits = run.part(first, len(shape))
        if len(digits) in _CARD_LENGTHS and run.alone(first, len(shape)) and _issued(digits):
            yield run.finding(first, len(shape), "CARD")
            return


def _issued(digits: str) -> bool:
    """Whether an issuer numbers its cards so, and the check digit holds."""
    four, length = int(digits[:4]), len(digits)
    if digits[0] == "4":
        known = length in (13, 16, 19)
    elif 5100 <= four <= 5599 or 2221 <= four <= 2720:
        known = length == 16
    elif digits[:2] in ("34", "37"):
        known = length == 15
    elif digits[:2] in ("36", "38", "39") or 3000 <= four <= 3059 or four == 3095:
        known = 14 <= length <= 19
    elif 3528 <= four <= 3589 or 2200 <= four <= 2204 or four == 9792:
        known = length >= 16
    else:
        known = (digits[0] == "6" and digits[1] in "02345789" and length >= 16) or digits[:2] in (
            "50",
            "56",
            "57",
            "58",
            "81",
        )
    return known and len(set(digits)) > 1 and luhn(digits)


def _nine(run: Run, first: int) -> Iterator[Finding]:
    """United States: SSN, ITIN, ABA. Canada: SIN."""
    if run.lengths[first] == 3 and not (run.shaped(first, (3, 2, 4)) or run.shaped(first, (3, 3, 3))):
        return
    count = 3 if run.lengths[first] == 3 else 1
    digits, before = run.part(first, count), run.context(first)
    if not run.alone(first, count):
        return
    formed = run.shaped(first, (3, 2, 4)) and len(run.between(first, 3)) == 1 and run.gaps[first + 1] in ("-", " ", ".")
    taxpayer = digits[0] == "9" and _is_itin(digits)
    if taxpayer and (formed or _ITIN_WORDS(before)):
        yield run.finding(first, count, "ITIN")
    elif _is_ssn(digits) and (formed or _SSN_WORDS(before)):
        yield run.finding(first, count, "SSN")
    if count == 1 and _ABA_WORDS(before) and aba(digits) and digits != "0" * 9:
        yield run.finding(first, count, "ABA")
    if not formed and _SIN_WORDS(before) and luhn(digits) and digits[0] != "0":
        yield run.finding(first, count, "SIN")


def _is_ssn(digits: str) -> bool:
    return digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def _is_itin(digits: str) -> bool:
    group = int(digits[3:5])
    return 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99


def _ten(run: Run, first: int) -> Iterator[Finding]:
    """NHS numbers begin with 4, 6 or 7 (3 in Northern Ireland, 9 in tests)."""
    if run.lengths[first] == 3 and not run.shaped(first, (3, 3, 4)):
        return
    count = 3 if run.lengths[first] == 3 else 1
    digits = run.part(first, count)
    gaps = run.between(first, count)
    if not nhs(digits) or not run.alone(first, count):
        return
    if (count == 3 and digits[0] in "34679" and gaps in ({" "}, {"-"})) or _NHS_WORDS(run.context(first)):
        yield run.finding(first, count, "NHS")


def _aadhaar(run: Run, first: int) -> Iterator[Finding]:
    if run.lengths[first] == 4 and not run.shaped(first, (4, 4, 4)):
        return
    count = 3 if run.lengths[first] == 4 else 1
    digits = run.part(first, count)
    if digits[0] in "01" or not run.alone(first, count):
        return
    formed = count == 3 and len(run.lengths) == 3 and run.between(first, 3) in ({" "}, {"-"})
    if (formed or _AADHAAR_WORDS(run.context(first))) and verhoeff(digits):
        yield run.finding(first, count, "AADHAAR")


def _cpf(run: Run, first: int) -> Iterator[Finding]:
    if run.lengths[first] == 3 and not run.shaped(first, (3, 3, 3, 2)):
        return
    count = 4 if run.lengths[first] == 3 else 1
    formed = count == 4 and run.gaps[first + 1 : first + 4] == (".", ".", "-")
    named = _CPF_WORDS(run.context(first))
    if (formed or named) and run.alone(first, count) and cpf(run.part(first, count)):
        yield run.finding(first, count, "CPF")


def _nir(run: Run, first: int) -> Iterator[Finding]:
    shape = {1: (1, 2, 2, 2, 3, 3, 2), 13: (13, 2), 15: (15,)}[run.lengths[first]]
    if not run.shaped(first, shape):
        return
    count = len(shape)
    digits = run.part(first, count)
    month = int(digits[3:5])
    sound = digits[0] in "12" and (1 <= month <= 12 or 20 <= month <= 42) and run.alone(first, count)
    if sound and nir(digits):
        yield run.finding(first, count, "NIR")


_Look = Callable[[Run, int], Iterator[Finding]]
# What may begin with two groups of these lengths, and what may be one group alone.
_LOOKS: Mapping[tuple[int, ...], tuple[_Look, ...]] = {
    (1, 2): (_nir,),
    (1, 3): (american_phone,),
    (3, 2): (_nine,),
    (3, 3): (_nine, _ten, _cpf, american_phone),
    (4, 4): (_card, _aadhaar),
    (4, 6): (_card,),
    (13, 2): (_nir,),
}
_BARE: Mapping[int, tuple[_Look, ...]] = {
    9: (_nine,),
    10: (_ten,),
    11: (_cpf,),
    12: (_aadhaar,),
    15: (_card, _nir),
    **dict.fromkeys((13, 14, 16, 17, 18, 19), (_card,)),
}

DIGIT_RULE = Rule(RUN, _numbers)
