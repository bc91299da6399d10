"""Phone numbers: with a country code (E.164), as North America and some of Europe write them, or where words say so."""

import re
from collections.abc import Iterator

from penstock.guard.finding import Finding
from penstock.guard.rule import Match, Rule
from penstock.guard.run import SEVEN, Run, run_of

_CODES_TEXT = (
    "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 "
    "82 84 86 90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 "
    "234 235 236 237 238 239 240 241 242 243 244 245 246 247 248 249 250 251 252 253 254 255 256 257 258 260 "
    "261 262 263 264 265 266 267 268 269 290 291 297 298 299 350 351 352 353 354 355 356 357 358 359 370 371 "
    "372 373 374 375 376 377 378 380 381 382 383 385 386 387 389 420 421 423 500 501 502 503 504 505 506 507 "
    "508 509 590 591 592 593 594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 "
    "686 687 688 689 690 691 692 800 808 850 852 853 855 856 870 878 880 881 882 883 886 888 960 961 962 963 "
    "964 965 966 967 968 970 971 972 973 974 975 976 977 979 992 993 994 995 996 998"
)
_CODES = frozenset(_CODES_TEXT.split())
# Digits after the country code, where every number has as many.
_NATIONAL = {
    "1": (10, 10),
    "7": (10, 10),
    "33": (9, 9),
    "34": (9, 9),
    "44": (9, 10),
    "48": (9, 9),
    "61": (9, 9),
    "91": (10, 10),
}
_E164_MAX_DIGITS = 15
_SHORTEST = 7

_WORDS = (
    r"tele?ph?one?s?|phones?|tels?|mobile?s?|mob|cell(?:phone)?|fax|call(?:ed|ing)?(?: me| us)?|dial|whatsapp|ring|sms|"
    r"text(?: me)?|contact(?: number)?|handy|m.vil|t.l.phone|telefono|telefon|rufnummer|hotline|landline|msisdn|ph"
)
_DATE = re.compile(
    r"(?:19|20)\d\d([-./ ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])\Z|"
    r"(?:0?[1-9]|[12]\d|3[01])([-./ ])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)?\d\d\Z"
)
_BRITISH = ((5, 6), (5, 3, 3), (3, 4, 4), (4, 3, 4), (11,))


def world_phone(run: Run) -> Iterator[Finding]:
    """`+` and a country code in front of the run, or 00."""
    start = run.spans[0][0]
    before = run.view.data[max(0, start - 2) : start]
    opens = 1 if before.endswith(b"+") else 2 if before == b"+(" else 0
    digits = run.digits[0]
    if not opens and not (digits.startswith("00") and run.alone(0, 1)):
        return
    code = _code("".join(run.digits)[0 if opens else 2 :][:3])
    if code:
        count = _world_groups(run, code, 0 if opens else 2)
        if count and not run.view.data[run.spans[count - 1][1] : run.spans[count - 1][1] + 1].isalnum():
            yield run.finding(0, count, "PHONE", opens)


def _code(digits: str) -> str:
    return next((digits[:length] for length in (1, 2, 3) if digits[:length] in _CODES), "")


def _world_groups(run: Run, code: str, skip: int) -> int:
    """How many groups the number has; 0 for none. The longest that fits: a number in doubt is not cut short."""
    low, high = _NATIONAL.get(code, (_SHORTEST - len(code), _E164_MAX_DIGITS - len(code)))
    found = total = 0
    for index, group in enumerate(run.digits):
        trunk = group == "0" and index > 0 and "(" in run.gaps[index]
        total += 0 if trunk else len(group)
        if total - skip - len(code) > high:
            break
        if total - skip - len(code) >= low:
            found = index + 1
    return found


def american_phone(run: Run, first: int) -> Iterator[Finding]:
    """(555) 123-4567, 555-123-4567, 1-555-123-4567: a form that is nothing else."""
    trunk = 1 if run.lengths[first] == 1 else 0
    if (trunk and run.digits[first] != "1") or not run.shaped(first + trunk, (3, 3, 4)):
        return
    if _american(run, first + trunk):
        yield run.finding(first, 3 + trunk, "PHONE", 0 if trunk else _bracket(run, first))


def european_phone(run: Run, first: int) -> Iterator[Finding]:
    """020 7946 0958, 01 23 45 67 89, 0171/1234567: groups that begin with a trunk zero."""
    count = 0 if run.digits[first].startswith("00") else _european(run, first)
    if count:
        yield run.finding(first, count, "PHONE", _bracket(run, first))


def _bracket(run: Run, first: int) -> int:
    """1 where the group stands in brackets: the one in front belongs to the number."""
    start = run.spans[first][0]
    closed = len(run.gaps) > first + 1 and ")" in run.gaps[first + 1]
    return 1 if closed and run.view.data[max(0, start - 1) : start] == b"(" else 0


def _american(run: Run, first: int) -> bool:
    area, exchange, _ = run.digits[first : first + 3]
    gaps = run.gaps[first + 1], run.gaps[first + 2]
    sound = area[0] in "23456789" and exchange[0] in "23456789" and area[1:] != "11" and exchange[1:] != "11"
    same = gaps[0] == gaps[1] and gaps[0] in ("-", ".", " ", "/", " - ")
    bracketed = ")" in gaps[0] and gaps[1] in ("-", ".", " ")
    return sound and (same or bracketed or gaps == ("/", "-")) and run.alone(first, 3)


def _european(run: Run, first: int) -> int:
    """How many groups a number with a trunk zero has; 0 for none."""
    digits = run.digits[first]
    for shape in _BRITISH:
        if run.shaped(first, shape) and digits[1] in "12378" and run.alone(first, len(shape)):
            return len(shape)
    french = run.shaped(first, (2, 2, 2, 2, 2)) and digits[1] != "0" and len(run.between(first, 5)) == 1
    if french and run.alone(first, 5):
        return 5
    two = run.lengths[first : first + 2]
    german = len(two) == 2 and 3 <= two[0] <= 5 and 6 <= two[1] <= 8 and run.gaps[first + 1] in (" ", "/", "-", " / ")
    return 2 if german and len(run.lengths) == first + 2 and run.alone(first, 2) else 0


def _spoken(match: Match) -> Iterator[Finding]:
    """Any number of 7 to 15 digits that the words in front call a phone, unless it is written as a date."""
    run = run_of(match)
    count = total = 0
    for length in run.lengths:
        if total + length > _E164_MAX_DIGITS:
            break
        total += length
        count += 1
    if total < _SHORTEST or not run.alone(0, count):
        return
    text = match.view.data[run.spans[0][0] : run.spans[count - 1][1]].decode("latin-1")
    if not _DATE.match(text):
        yield run.finding(0, count, "PHONE")


SPOKEN_RULE = Rule(rf"(?i)\b(?:{_WORDS})\b[^\n\d]{{0,24}}({SEVEN})", _spoken, resume="it")
