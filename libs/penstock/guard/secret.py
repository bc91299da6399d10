"""Secrets: keys whose issuers made them easy to tell, tokens, private keys, and passwords where something says so."""

import math
import re
from collections import Counter
from collections.abc import Iterator

from penstock.guard.finding import Finding
from penstock.guard.rule import Judge, Match, Rule, Span, finding
from penstock.guard.view import View

PRIVATE_KEY_MAX_CHARS = 8192

_ISSUED = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",  # AWS
    r"psk_[a-z0-9]{4,32}_[A-Za-z0-9_\-]{16,}",  # Penstock
    r"sk-(?:proj-|svcacct-|admin-|ant-[a-z0-9]+-|or-v1-|lf-)?[A-Za-z0-9_\-]{20,}",  # OpenAI, Anthropic and others
    r"AIza[0-9A-Za-z_\-]{35}",  # Google
    r"GOCSPX-[A-Za-z0-9_\-]{28}",
    r"(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{16,}",  # Stripe
    r"whsec_[A-Za-z0-9+/=]{24,}",
    r"xai-[A-Za-z0-9]{40,}",
    r"gsk_[A-Za-z0-9]{40,}",  # Groq
    r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"r8_[A-Za-z0-9]{36,}",  # Replicate
    r"pplx-[A-Za-z0-9]{40,}",
    r"AC[0-9a-f]{32}\b|SK[0-9a-f]{32}\b",  # Twilio
    r"SG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{16,64}",  # SendGrid
    r"key-[0-9a-f]{32}\b",  # Mailgun
    r"dop_v1_[0-9a-f]{64}",  # DigitalOcean
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",  # Shopify
    r"dapi[0-9a-f]{32}\b",  # Databricks
    r"lin_api_[A-Za-z0-9]{32,}",  # Linear
    r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",  # Postman
    r"NRAK-[A-Z0-9]{27}",  # New Relic
    r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}",
    r"S[UANOCX][A-Z2-7]{56}\b",  # NATS seeds
)
_TOKENS = (
    r"gh[pousr]_[A-Za-z0-9]{36,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{50,}",
    r"glpat-[A-Za-z0-9_\-]{20,}",  # GitLab
    r"xox[abeprs]-[A-Za-z0-9\-]{10,}",  # Slack
    r"xapp-\d-[A-Z0-9]+-\d+-[0-9a-f]{32,}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_\-]{50,}",
    r"ya29\.[0-9A-Za-z_\-]{20,}",  # Google OAuth
    r"EAA[A-Za-z0-9]{60,}",  # Meta
    r"hvs\.[A-Za-z0-9_\-]{24,}",  # HashiCorp Vault
    r"dckr_pat_[A-Za-z0-9_\-]{24,}",
    r"ATATT3[A-Za-z0-9_\-=]{50,}",  # Atlassian
    r"secret_[A-Za-z0-9]{43}\b|ntn_[A-Za-z0-9]{40,}",  # Notion
    r"eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*)?",  # JWT
    r"eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}",  # JWE
)
_WEBHOOK = r"https://hooks\.slack\.com/services/([A-Z0-9]+/[A-Z0-9]+/[A-Za-z0-9]+)"
_URL_PASSWORD = r"\b[A-Za-z][A-Za-z0-9+.\-]{1,20}://[^\s:/?#@\"'<>]{0,100}:([^\s/\"'<>]{1,200})@[^\s/@\"'<>]"
_NAMED = (
    r"(?i)(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_\- ]?key|access[_\-]?key|account[_\-]?key|private[_\-]?key|"
    r"client[_\-]?secret|shared[_\-]?access[_\-]?key|auth|credential)s?[A-Za-z0-9_\-]{0,20}"
    r"(?:\\?[\"'])?[ \t]{0,4}(?::|=>|:?=|\bis\b)[ \t]{0,4}(?:\\?[\"'])?([^\s\"'\\,;<>{}\[\]()`&]{6,})"
)
_HEADER = r"(?i)\b(?:bearer|basic)[ \t]{1,4}([A-Za-z0-9._~+/\-]{12,}=*)"
KEY_HEADER = r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_PEM_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = re.compile(rb"(?:[\s\\]|[A-Za-z0-9+/=]{16,})+")

# What stands where a secret would: blanks, variables, types, words about it.
_PLACEHOLDER = re.compile(
    r"(?i)x{4,}|\*{3,}|\.{3}|your|example|changeme|redacted|placeholder|dummy|\A[<\[]|\A\$[{(]?[A-Z_][A-Z0-9_.]*[)}]?\Z|%\(|"
    r"\A%s|\A(?:none|null|true|false|undefined|required|optional|string)\b|process\.env|os\.environ|getenv"
)
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+\Z")
_STRONG_NAMES = re.compile(rb"(?i)passw|pwd|passphrase|secret|key|credential")


def _issued(entity: str) -> Judge:
    def judge(match: Match) -> Iterator[Finding]:
        if len(set(match.text)) > 6:  # not xxxxxxxx
            yield match.finding(entity)

    return judge


def _private_key(match: Match) -> Iterator[Finding]:
    """To its end; without one, as far as what follows looks like a key."""
    data, (start, after) = match.view.data, match.whole
    limit = min(len(data), start + PRIVATE_KEY_MAX_CHARS)
    end = _PEM_END.search(data, after, limit)
    body = _PEM_BODY.match(data, after, limit)
    if end is not None:
        yield finding(match.view, (start, end.end()), "PRIVATE_KEY")
    elif body is not None and body.end() - after > 32:
        yield finding(match.view, (start, body.end()), "PRIVATE_KEY")


def key_block_open(view: View, header: Span) -> bool:
    """Whether the block that begins so may still go on after the text's end."""
    limit = header[0] + PRIVATE_KEY_MAX_CHARS
    return limit > len(view.data) and _PEM_END.search(view.data, header[1], limit) is None


def _password(match: Match) -> Iterator[Finding]:
    if not _PLACEHOLDER.search(match.text):
        yield match.finding("PASSWORD")


def _named(match: Match) -> Iterator[Finding]:
    """A value that something names a secret: not a word, a call or a blank to fill in."""
    text = match.text.rstrip(".:")
    name = match.view.data[match.whole[0] : match.it[0]]
    if (
        len(text) < 6
        or _PLACEHOLDER.search(text)
        or _ADDRESS.match(text)
        or not _secretive(text, bool(_STRONG_NAMES.search(name)))
    ):
        return
    yield finding(match.view, (match.it[0], match.it[0] + len(text)), "PASSWORD")


def _secretive(text: str, strongly_named: bool) -> bool:
    """Words have letters of one kind; secrets mix kinds, or are long and without pattern."""
    kinds = [
        any(char.islower() for char in text),
        any(char.isupper() for char in text),
        any(char.isdigit() for char in text),
        any(not char.isalnum() and char not in "._-/:" for char in text),
    ]
    if strongly_named:
        return (kinds[2] and sum(kinds) >= 2) or (kinds[3] and sum(kinds) >= 2) or entropy(text) > 3.5
    return len(text) >= 16 and kinds[2] and entropy(text) > 3.3


def entropy(text: str) -> float:
    """Bits per character: C. E. Shannon's measure over the text's own letters."""
    total = len(text)
    return -sum(count / total * math.log2(count / total) for count in Counter(text).values())


def _header(match: Match) -> Iterator[Finding]:
    if any(char.isdigit() for char in match.text) and entropy(match.text) > 3.0:
        yield match.finding("TOKEN")


SECRET_RULES = (
    Rule(r"\b(?:" + "|".join(_ISSUED) + ")", _issued("API_KEY")),
    Rule(r"\b(?:" + "|".join(_TOKENS) + ")", _issued("TOKEN")),
    Rule(_WEBHOOK, _issued("TOKEN")),
    Rule(KEY_HEADER, _private_key),
    Rule(_URL_PASSWORD, _password),
    Rule(_NAMED, _named, resume="it"),
    Rule(_HEADER, _header),
)
