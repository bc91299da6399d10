"""Addresses: e-mail, IP, MAC, and those of Bitcoin and Ethereum."""

import ipaddress
import re
from collections.abc import Iterator

from penstock.guard.checksum import base58check, bech32
from penstock.guard.finding import Finding
from penstock.guard.rule import Match, Rule, finding
from penstock.guard.view import View

_LOCAL_MAX_CHARS = 64
# Files are named so too (icon@2x.png, package@1.2.tgz).
_FILE_ENDINGS_TEXT = (
    "png jpg jpeg gif svg webp ico bmp tif tiff pdf css js mjs ts tsx jsx json map html htm xml yaml yml md "
    "txt csv tgz gz zip tar whl py rb go rs java class exe dll bin woff ttf mp3 mp4"
)
_FILE_ENDINGS = frozenset(_FILE_ENDINGS_TEXT.split())
_VERSION = re.compile(rb"(?i)(?:version|release|build|firmware|rev|ver|\bv)[\s:=.#]{0,3}\Z")
_LETTERS = r"A-Za-z0-9\x80-\xff?"


def _email(match: Match) -> Iterator[Finding]:
    """Letters beyond Latin-1 are question marks in the view: those that are not letters end the address."""
    view, (start, end) = match.view, match.whole
    at = view.data.find(b"@", start, end)
    mark = at if at >= 0 else view.data.find(b"%40", start, end)
    after = mark + (1 if at >= 0 else 3)
    low = mark
    while low > start and mark - low < _LOCAL_MAX_CHARS and _lettered(view, low - 1):
        low -= 1
    high = after
    while high < end and _lettered(view, high):
        high += 1
    labels = view.data[after:high].rstrip(b".-").split(b".")
    high = after + len(b".".join(labels))
    local = view.data[low:mark].lstrip(b".'-")
    low = mark - len(local)
    ending = labels[-1].lower().decode("latin-1")
    known = len(labels) > 1 and len(ending) > 1 and not any(char.isdigit() for char in ending)
    if not local or not known or b"" in labels or ending in _FILE_ENDINGS:
        return
    if local == b"git" and view.data[high : high + 1] == b":":
        return  # where a repository is, not a person
    yield finding(view, (low, high), "EMAIL")


def _lettered(view: View, at: int) -> bool:
    return view.data[at] != ord("?") or view.wide(at)


def _ip4(match: Match) -> Iterator[Finding]:
    view, (start, end) = match.view, match.it
    after = view.data[end : end + 2]
    if (view.data[start - 1 : start] in (b".", b"-", b"+") and start) or re.match(rb"[.-]\d|\w", after):
        return
    octets = match.text.split(".")
    if any(int(octet) > 255 or (len(octet) > 1 and octet[0] == "0") for octet in octets):
        return
    if octets[0] in ("0", "127") or int(octets[0]) >= 224:
        return  # nobody's: this network, loopback, groups, masks
    if not _VERSION.search(view.before(start, 12)):
        yield match.finding("IP")


def _ip6(match: Match) -> Iterator[Finding]:
    view, (start, end) = match.view, match.it
    text = match.text
    if len(text) == 17 and text.count(":") == 5:
        return  # a MAC address
    while text.endswith(":") and not text.endswith("::"):
        text = text[:-1]
    end = start + len(text)
    if re.match(rb"[\w:]", view.data[end : end + 1]) or (start and re.match(rb"[\w:.]", view.data[start - 1 : start])):
        return
    if not any(char.isdigit() for char in text) or len(text) < 6:
        return
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return
    if not (address.is_loopback or address.is_unspecified or address.is_multicast):
        yield finding(view, (start, end), "IP")


def _mac(match: Match) -> Iterator[Finding]:
    view, (start, end) = match.view, match.it
    if re.match(rb"[:.-]?\w", view.data[end : end + 2]) or (
        start and re.match(rb"[\w:.-]", view.data[start - 1 : start])
    ):
        return  # part of something longer, a fingerprint for example
    separators = set(re.sub(r"[0-9A-Fa-f]", "", match.text))
    plain = re.sub(r"[^0-9a-f]", "", match.text.lower())
    if len(separators) == 1 and plain not in ("0" * 12, "f" * 12):
        yield match.finding("MAC")


def _coin(match: Match) -> Iterator[Finding]:
    text = match.text
    if text.lower().startswith("0x"):
        sound = len(set(text[2:].lower())) > 4
    elif text.lower().startswith("bc1"):
        sound = (text.islower() or text.isupper()) and bech32(text.lower())
    else:
        sound = base58check(text)
    if sound:
        yield match.finding("CRYPTO")


NETWORK_RULES = (
    Rule(rf"[{_LETTERS}._%+'\-]+(?:@|%40)[{_LETTERS}.\-]{{2,}}", _email),
    Rule(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", _ip4),
    Rule(r"(?:[0-9A-Fa-f]{1,4}:|::)(?:[0-9A-Fa-f]{0,4}:){1,7}(?:[0-9A-Fa-f]{1,4}|\d{1,3}(?:\.\d{1,3}){3})?", _ip6),
    Rule(r"\b[0-9A-Fa-f]{2}(?:[:\-][0-9A-Fa-f]{2}){5}\b|\b[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\b", _mac),
    Rule(r"\b(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|(?i:bc1[02-9ac-hj-np-z]{11,71})|0x[0-9A-Fa-f]{40})\b", _coin),
)
