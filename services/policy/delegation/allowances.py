"""What each agent may have at most, whoever asks it and whatever they hold, as an operator writes it. Pure.

agents-allowed.yaml: {acme: {"agent:clerk": {scopes: [...], tools: [...], usd: 2}}, "*": {"agent:*": {...}}}. Empty is
none and `*` is explicit; a right with a colon is never meant by `*`. Without the file no agent has bounds of its own.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from services.policy.identity.scopes import COUNT_MAX, InvalidScope, covers, scope
from services.policy.money.limits import LimitsRefused, to_nano

FILE_MAX_BYTES = 1024 * 1024
EVERYONE = "*"
ANY_AGENT = "agent:*"
_AGENT = re.compile(r"agent:(?:[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}|\*)\Z")
_TENANT = re.compile(r"(?:[A-Za-z0-9_-]{1,64}|\*)\Z")


class AllowancesRefused(Exception):
    """A file that cannot be used; the sentence says what to write."""


class Allowance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`scopes`, `tools`: the most that it may have. `usd`, `tokens`: the most that one of its runs may use.
    `lifetime_s`: of a run. `below`: how many agents may act one for another below it; 0: it may ask nobody."""

    scopes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    usd: float | str | None = None
    tokens: Annotated[int, msgspec.Meta(gt=0, le=2**53 - 1)] | None = None
    lifetime_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    below: Annotated[int, msgspec.Meta(ge=0)] | None = None

    @property
    def nano(self) -> int:
        """Nano-dollars; 0: no bound."""
        return to_nano(self.usd) if self.usd is not None else 0

    def narrow(self, held: tuple[str, ...]) -> tuple[str, ...]:
        """What of these scopes the agent may have, never more than these."""
        kept: dict[str, None] = {}
        for have in held:
            for want in self.scopes:
                if covers(want, have):
                    kept[have] = None
                elif covers(have, want):
                    kept[want] = None
        return tuple(kept)


class Allowances:
    """By tenant and agent. The first that is found holds: the agent in this tenant, `agent:*` in this tenant, and the
    same of the tenant `*`."""

    def __init__(self, tenants: Mapping[str, Mapping[str, Allowance]] | None = None) -> None:
        self._tenants = None if tenants is None else dict(tenants)

    def of(self, tenant: str, actor: str) -> Allowance | None:
        """What bounds this agent; None: nothing of its own does. Where there is a file, an agent that it has no word
        about may have nothing. Actors that are no agents (`job:chat`) have only what their kind of job needs."""
        if self._tenants is None or not actor.startswith("agent:"):
            return None
        for entries in (self._tenants.get(tenant, {}), self._tenants.get(EVERYONE, {})):
            found = entries.get(actor) or entries.get(ANY_AGENT)
            if found is not None:
                return found
        return NOTHING


NOTHING = Allowance()


def parse_allowances(text: str) -> Allowances:
    """Raises AllowancesRefused."""
    try:
        found = msgspec.yaml.decode(text.encode(), type=dict[str, dict[str, Allowance]] | None) or {}
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise AllowancesRefused(f"the agents' allowances cannot be read: {error}") from error
    for tenant, entries in found.items():
        if _TENANT.match(tenant) is None:
            raise AllowancesRefused(f"{tenant[:80]!r} is not a tenant. Write its name, or * for every tenant")
        for actor, allowance in entries.items():
            if _AGENT.match(actor) is None:
                raise AllowancesRefused(f"{actor[:80]!r} is not an agent. Write agent:<name> in ASCII, or agent:*")
            _check(f"{tenant} {actor}", allowance)
    return Allowances(found)


def read_allowances(path: Path) -> Allowances:
    """Those of the file; without a file nobody is bounded. Raises AllowancesRefused."""
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise AllowancesRefused(f"{path} is larger than {FILE_MAX_BYTES} bytes")
        return parse_allowances(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Allowances()
    except UnicodeDecodeError as error:
        raise AllowancesRefused(f"{path} is not UTF-8") from error
    except OSError as error:
        raise AllowancesRefused(f"{path} cannot be read: {error.strerror}") from error


def _check(where: str, allowance: Allowance) -> None:
    if max(len(allowance.scopes), len(allowance.tools)) > COUNT_MAX:
        raise AllowancesRefused(f"{where}: write at most {COUNT_MAX} scopes and {COUNT_MAX} tools")
    if not all(0 < len(tool) <= 128 and tool.isascii() for tool in allowance.tools):
        raise AllowancesRefused(f"{where}: tools: write names of tools, or *")
    try:
        for one in allowance.scopes:
            scope(one)
        _ = allowance.nano
    except (InvalidScope, LimitsRefused) as error:
        raise AllowancesRefused(f"{where}: {error}") from error
