"""Secrets by reference: read when a request goes out, and hidden wherever they come back."""

import base64
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

import msgspec

from services.tool_executor.toolsfile import BadToolsFile

FILE_BYTES_MAX = 64 * 1024
HIDDEN = "[hidden]"
_SHORT = 4


class CredentialMissing(Exception):
    """A reference without a value. It names the reference, which is no secret."""

    def __init__(self, source: str) -> None:
        super().__init__(f"the credential {source} is not there")


class Credentials:
    """References are `env:NAME` and `file:/path`. Files are read anew each time, so that a secret may be rotated."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    @staticmethod
    def check(source: str) -> None:
        """Raises BadToolsFile for what is not a reference."""
        scheme, _, rest = source.partition(":")
        if scheme not in ("env", "file") or not rest or (scheme == "file" and not rest.startswith("/")):
            raise BadToolsFile("a credential's source is env:NAME or file:/path, never the secret itself")

    def value(self, source: str) -> str:
        """Raises CredentialMissing."""
        scheme, _, rest = source.partition(":")
        text = self._environment.get(rest, "") if scheme == "env" else _read(rest)
        text = text.strip()
        if not text or not text.isprintable() or not text.isascii():
            raise CredentialMissing(source)
        return text


def forms(secrets: Iterable[str]) -> tuple[str, ...]:
    """A secret as it may come back: plain, in a URL, in JSON, in base64. Longest first."""
    found: set[str] = set()
    for secret in secrets:
        if len(secret) < _SHORT:
            continue
        in_json = msgspec.json.encode(secret).decode()[1:-1]
        in_base64 = base64.b64encode(secret.encode()).decode().rstrip("=")
        found |= {secret, quote(secret, safe=""), quote_plus(secret), in_json, in_base64}
    return tuple(sorted(found, key=len, reverse=True))


def hide(text: str, secret_forms: Collection[str]) -> str:
    """`text` without any of them."""
    for form in secret_forms:
        text = text.replace(form, HIDDEN)
    return text


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode()
    except (OSError, UnicodeDecodeError):
        return ""
