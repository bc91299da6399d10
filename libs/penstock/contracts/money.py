"""Accounts as their holders and operators see them: balances, statements, and what is told when a limit is near."""

from typing import Literal

import msgspec

from penstock.contracts.policy import Balance

ALERT = "penstock.alert.v1"
"""The type of an audit record whose data is an AlertRecord; its subject is the pot."""


class AlertRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """`percent` of a limit was reached for the first time; of the last threshold also: somebody was refused.

    `pot`: the account and its window; `measure`: nano, tokens or requests, which `used` (committed then) and `limit`
    are counted in.
    """

    pot: str
    measure: str
    percent: int
    used: int
    limit: int


class AccountsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Balances of one account of the tenant; "" is the caller's own, from the widest to the narrowest."""

    account: str = ""


class Accounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """One balance for each limit's period."""

    accounts: list[Balance]


class StatementRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an account was used for from `since` to before `until` (Unix seconds, 0: from the first, to now), by when it
    was decided. `limit`: lines at most; `after`: the page after the one whose `next` this is."""

    account: str
    since: float = 0.0
    until: float = 0.0
    limit: int = 100
    after: str = ""


class Sum(msgspec.Struct, frozen=True, omit_defaults=True):
    """Nano-dollars, tokens, and how many actions."""

    nano: int = 0
    tokens: int = 0
    requests: int = 0


class StatementLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One permitted attempt. `state`: `settled` with what was used, `reserved` while it is under way, `expired`: no
    outcome came, and what was reserved counts as used. `status` is the outcome's."""

    time: float
    attempt: str
    subject: str
    action: str
    resource: str
    state: Literal["settled", "reserved", "expired"]
    nano: int = 0
    tokens: int = 0
    status: str = ""
    deployment: str = ""
    agent: str = ""
    job: str = ""
    request: str = ""
    decision: str = ""


class StatementPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one model, tool, action or day stands for; `others` stands for all that there was no room for."""

    name: str
    sum: Sum


class Statement(msgspec.Struct, frozen=True, omit_defaults=True):
    """From the audit stream alone. `opening`: used by what was decided before; `committed`: used by what was decided in
    the period; `reserved`: its worst case, of what is under way. Sums and parts stand on the first page only.

    `next` is "" on the last page. `heard`: the stream's last sequence that is in it.
    """

    account: str
    since: float
    until: float
    lines: list[StatementLine]
    opening: Sum = Sum()
    committed: Sum = Sum()
    reserved: Sum = Sum()
    by_resource: list[StatementPart] = []
    by_action: list[StatementPart] = []
    by_day: list[StatementPart] = []
    next: str = ""
    heard: int = 0
