"""All API keys that are in force: the operator's file, and those made through the plane."""

from collections.abc import Callable, Iterator

import msgspec

from penstock.contracts.keys import KeptKey
from services.policy.identity.keys import ApiKey, KeyRing, opened, parts_of
from services.policy.identity.made import opened_up

FILE, PLANE = "file", "plane"


class Keys:
    """`file` gives the operator's keys of now. What the plane says of a key of the file can only end it sooner."""

    def __init__(self, file: Callable[[], KeyRing]) -> None:
        self._file = file
        self._plane: dict[str, ApiKey] = {}
        self._ended: dict[str, KeptKey] = {}

    def put(self, found: KeptKey) -> None:
        """Takes over what the bucket has. Raises KeyRefused or Failure(INVALID); then the key is none."""
        self._plane.pop(found.id, None)
        self._ended.pop(found.id, None)
        if found.digest:
            self._plane[found.id] = opened_up(found)
        else:
            self._ended[found.id] = found

    def get(self, key_id: str) -> ApiKey | None:
        """The key, good or not."""
        of_file = self._file().get(key_id)
        if of_file is None:
            return self._plane.get(key_id)
        return self._shortened(of_file)

    def source(self, key_id: str) -> str:
        return FILE if self._file().get(key_id) is not None else PLANE

    def usable(self, key_id: str, now: float) -> ApiKey | None:
        """The key, unless it is unknown, revoked or expired."""
        key = self.get(key_id)
        return key if key is not None and key.usable(now) else None

    def authenticate(self, credential: str, now: float) -> ApiKey:
        """Whose key this is. Raises Failure(UNAUTHENTICATED), the same for every reason."""
        key_id, secret = parts_of(credential)
        return opened(self.get(key_id), secret, now)

    def of_tenant(self, tenant: str) -> list[ApiKey]:
        """Every key of the tenant, in the order of their ids."""
        return sorted((key for key in self._all() if key.tenant == tenant), key=lambda key: key.id)

    def _all(self) -> Iterator[ApiKey]:
        of_file = self._file()
        yield from (self._shortened(key) for key in of_file.keys)
        yield from (key for key in self._plane.values() if of_file.get(key.id) is None)

    def _shortened(self, key: ApiKey) -> ApiKey:
        ended = self._ended.get(key.id)
        if ended is None or ended.tenant != key.tenant:
            return key
        expires = min(filter(None, (key.expires, ended.expires)), default=0.0)
        return msgspec.structs.replace(key, revoked=key.revoked or ended.revoked, expires=expires)
