"""The edge as an OAuth protected resource: its metadata (RFC 9728) and its challenges (RFC 6750, section 3). Pure."""

import re
from dataclasses import dataclass

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.scopes import wanted

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_PATH = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}){0,4}\Z")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,64}\Z")


@dataclass(frozen=True)
class Resource:
    """`url`: of the edge as its clients know it, "" when no authorization server is named; never taken from a request,
    whose Host anybody may write. `scopes`: what clients are told to ask for."""

    url: str
    servers: tuple[str, ...]
    scopes: tuple[str, ...]

    def metadata(self, path: str) -> bytes:
        """Of the resource at this path ("" is the whole edge). Raises Failure(NOT_FOUND)."""
        if not self.url or not self.servers or _PATH.match(path) is None:
            raise Failure(Code.NOT_FOUND, "there is no such path")
        metadata: dict[str, object] = {
            "resource": self.url + path,
            "authorization_servers": self.servers,
            "bearer_methods_supported": ["header"],
            "resource_name": "Penstock",
        }
        if self.scopes:
            metadata["scopes_supported"] = self.scopes
        return msgspec.json.encode(metadata)

    def challenge(self, failure: Failure, path: str, *, presented: bool) -> dict[str, str]:
        """What a refused client is told to bring; nothing for what no token would change."""
        fields = {"realm": "penstock"}
        if failure.code is Code.UNAUTHENTICATED:
            scopes = self.scopes
            if presented:
                fields["error"] = "invalid_token"
        elif failure.code is Code.DENIED and (scopes := wanted(failure.reasons)):
            fields["error"] = "insufficient_scope"
        else:
            return {}
        if self.url and self.servers:
            fields["resource_metadata"] = f"{self.url}{WELL_KNOWN}{path if _PATH.match(path) else ''}"
        named = [scope for scope in scopes if _SCOPE.match(scope)]
        if named:
            fields["scope"] = " ".join(named)
        return {"www-authenticate": "Bearer " + ", ".join(f'{name}="{value}"' for name, value in fields.items())}
