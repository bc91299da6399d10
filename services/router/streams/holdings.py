"""How much of each tenant's streams is kept now, as far as this process kept it. The time is an argument."""

from collections import deque

STEP_S = 1.0
"""What came within so long is forgotten together."""


class _Held:
    __slots__ = ("bytes", "parts")

    def __init__(self) -> None:
        self.bytes = 0
        self.parts: deque[tuple[float, int]] = deque()


class Holdings:
    """Bytes are held for `keep_s`, and no tenant may hold more than `tenant_max_bytes`."""

    def __init__(self, tenant_max_bytes: int, keep_s: float) -> None:
        self._most = tenant_max_bytes
        self._keep_s = keep_s
        self._held: dict[str, _Held] = {}

    def full(self, tenant: str, now: float) -> bool:
        """Whether there is no room for any more."""
        return self._of(tenant, now) >= self._most

    def take(self, tenant: str, size: int, now: float) -> bool:
        """So many bytes more; False when there is no room for them."""
        if self._of(tenant, now) + size > self._most:
            return False
        held = self._held.setdefault(tenant, _Held())
        held.bytes += size
        if held.parts and now - held.parts[-1][0] < STEP_S:
            since, before = held.parts.pop()
            held.parts.append((since, before + size))
        else:
            held.parts.append((now, size))
        return True

    def _of(self, tenant: str, now: float) -> int:
        held = self._held.get(tenant)
        if held is None:
            return 0
        while held.parts and now - held.parts[0][0] >= self._keep_s + STEP_S:
            held.bytes -= held.parts.popleft()[1]
        if not held.parts:
            del self._held[tenant]
        return held.bytes
