"""Identity and decisions. The question has the shape of the OpenID AuthZEN Authorization API 1.0."""

from typing import Literal

import msgspec

from penstock.contracts.llm import Usage

Scalar = str | int | float | bool
Fact = Scalar | list[str]
"""A fact that a policy can compare."""
EffectName = Literal["allow", "deny", "transform", "hold", "shadow"]
READS = frozenset({"context.search", "job.read"})
TOOL_CALL = "tool.call"
"""What may go on by a @fail_open rule while policy cannot be asked: READS, and tools whose `effect` is `read`."""


NO_INPUT = msgspec.Raw(b"")
INPUT_MAX_BYTES = 64 * 1024
"""Larger arguments are not sent to policy: rules that would look at them refuse the call."""


class Authenticate(msgspec.Struct, frozen=True, omit_defaults=True):
    """An inbound credential. `scheme`: `api_key`, or `oidc` for an identity provider's token. It goes no further
    than the policy service and is never logged."""

    credential: str
    scheme: str = "api_key"


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who it is. `token` is the transaction token that travels on; `expires` Unix seconds; `key` is the key's id."""

    tenant: str
    subject: str
    token: str
    expires: float
    key: str = ""
    scopes: tuple[str, ...] = ()


class Delegate(msgspec.Struct, frozen=True, omit_defaults=True):
    """Asks for a narrower token for a run: the caller's identity stands in Meta.token.

    `actor` (such as `agent:researcher`) is added to the chain; `budget_nano` (nano-dollars, 0: no limit of its own) and
    `budget_tokens` bound the run's own account; `lifetime_s` seconds, at most what policy allows.
    """

    run: str
    actor: str
    scopes: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ("*",)
    budget_nano: int = 0
    budget_tokens: int = 0
    lifetime_s: float = 3600.0


class Entity(msgspec.Struct, frozen=True, omit_defaults=True):
    """AuthZEN's subject or resource. `type` is a Cedar entity type such as Model, Tool, Collection, Job."""

    type: str
    id: str
    properties: dict[str, Fact] = {}


class ActionName(msgspec.Struct, frozen=True, omit_defaults=True):
    """AuthZEN's action, such as `model.complete`, `tool.call`, `context.search`, `job.submit`."""

    name: str


class Reserve(msgspec.Struct, frozen=True, omit_defaults=True):
    """The worst case of what the action may cost: nano-dollars (-1: price unknown) and tokens."""

    cost_nano: int = 0
    tokens: int = 0


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """May the bearer of Meta.token do this? `attempt` is the unit of billing and audit; the same attempt asked twice
    gets one decision. `arguments_digest` is sha256 hex of the canonical arguments. `outcome_due_s`: seconds until an
    outcome is overdue. `input`: a tool's arguments as a JSON object, for policies that look at them; never recorded.
    The subject is never taken from here: it is what the token says."""

    action: ActionName
    resource: Entity
    attempt: str
    context: dict[str, Fact] = {}
    reserve: Reserve | None = None
    arguments_digest: str = ""
    outcome_due_s: float = 900.0
    input: msgspec.Raw = NO_INPUT


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """A policy that decided, and what its author wrote as `@reason`."""

    policy: str
    text: str


class DecisionContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why. `code` is the failure code for a refusal (denied, budget_exhausted, approval_required, rate_limited …).
    `approval`: the approval that the action waits for, was refused by, or is permitted by; `approvers`: who gave it.
    `open_s`: for so many seconds the same token may do the same again although policy cannot be asked (@fail_open)."""

    id: str
    effect: EffectName
    code: str = ""
    reasons: tuple[Reason, ...] = ()
    bundle: str = ""
    obligations: tuple[str, ...] = ()
    retry_after_s: float = 0.0
    remaining_nano: int = -1
    tenant: str = ""
    subject: str = ""
    approval: str = ""
    approvers: tuple[str, ...] = ()
    open_s: float = 0.0


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """AuthZEN's answer: `decision` is the permit, `context` the rest."""

    decision: bool
    context: DecisionContext


class Questions(msgspec.Struct, frozen=True, omit_defaults=True):
    """A batch, such as a whole list of tools: each is answered by itself and reserves nothing.

    `strict`: a tool whose arguments a policy looks at is refused where they are missing; a list shows it.
    """

    evaluations: list[Question]
    strict: bool = False


class Decisions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answers in the order of the questions."""

    evaluations: list[Decision]


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """A public key in the `keys` bucket: raw Ed25519, base64url, and who signs with it. `until` (Unix seconds, 0 for
    ever): nothing that it signed is believed later; who signs with it puts that off."""

    kid: str
    public: str
    use: str
    until: float = 0.0


class AccountQuery(msgspec.Struct, frozen=True, omit_defaults=True):
    """Balances of the caller's accounts."""


class Balance(msgspec.Struct, frozen=True, omit_defaults=True):
    """One account in one period, in nano-dollars; `account` has the period's window behind an @. A limit of 0 is none.

    `tokens`, `requests`: committed and reserved together; `reserved_tokens`, `under_way`: what of it is reserved, and
    how many actions hold a place of `limit_concurrency`. `begins`, `ends`: Unix seconds of the window, 0 without one.
    `empty_at`: when the first limit is reached at the rate so far, 0: not in this window, or nobody can tell.
    """

    account: str
    committed_nano: int
    reserved_nano: int
    limit_nano: int = 0
    tokens: int = 0
    period: str = "total"
    begins: float = 0.0
    ends: float = 0.0
    reserved_tokens: int = 0
    limit_tokens: int = 0
    requests: int = 0
    limit_requests: int = 0
    under_way: int = 0
    limit_concurrency: int = 0
    empty_at: float = 0.0


class Balances(msgspec.Struct, frozen=True, omit_defaults=True):
    """The caller's accounts, from the widest to the narrowest."""

    accounts: list[Balance]


class Settlement(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an attempt really cost."""

    attempt: str
    usage: Usage = Usage()
    cost_nano: int = 0
