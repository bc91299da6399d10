"""What a token is granted: at the origin from an API key, and narrower for every run below it. Pure.

Narrowing closes two holes of the Agent Delegation Chain Spec 0.1: empty tools are none, and a child's budget is an
account inside its parent's, so that any number of siblings together spend no more than the parent may. What an agent
may have at most, whoever asks it, is in its allowance.
"""

import hashlib
import re

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.policy import ActionName, Delegate, Entity, Question
from penstock.kit.identity import Account, Claims
from services.policy.delegation.allowances import Allowance, Allowances
from services.policy.identity.keys import ApiKey
from services.policy.identity.scopes import COUNT_MAX, InvalidScope, narrow, narrow_names, scope
from services.policy.money.limits import AMOUNT_MAX
from services.policy.oidc.providers import SignedIn
from services.policy.rules.question import DELEGATE

_ACTOR = re.compile(r"[a-z]+:[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}\Z")
ACCOUNTS_MAX = 24


class Remaining(msgspec.Struct, frozen=True):
    """What is left in the narrowest of the parent's accounts; -1 without a limit."""

    nano: int = -1
    tokens: int = -1


def of_key(key: ApiKey, now: float, lifetime_s: float, txn: str) -> Claims:
    """What an API key's token says; it ends no later than the key."""
    made_with = [f"key:{one}" for one in key.above]
    team = [f"team:{key.team}"] if key.team else []
    accounts = [f"tenant:{key.tenant}", *team, key.subject, *made_with, f"key:{key.id}"]
    return Claims(
        tenant=key.tenant,
        sub=key.subject,
        exp=min(now + lifetime_s, key.expires or now + lifetime_s),
        txn=txn,
        chain=(key.agent,) if key.agent else (),
        scopes=key.scopes,
        tools=key.tools,
        key=key.id,
        accounts=tuple(Account(name) for name in accounts),
        iat=now,
    )


def of_person(found: SignedIn, now: float, lifetime_s: float, txn: str) -> Claims:
    """What the token of somebody says who signed in elsewhere; it ends no later than what they came with."""
    who = found.person
    accounts = [f"tenant:{who.tenant}", *([f"team:{who.team}"] if who.team else []), who.subject]
    return Claims(
        tenant=who.tenant,
        sub=who.subject,
        exp=min(now + lifetime_s, found.expires),
        txn=txn,
        scopes=who.scopes,
        tools=who.tools,
        accounts=tuple(Account(name) for name in accounts),
        iat=now,
        team=who.team,
    )


def check_delegate(asked: Delegate) -> None:
    """Raises Failure(INVALID) for what cannot be read. Names are ASCII: no two look the same."""
    _require(is_token(asked.run), "run", "must be 1 to 64 of A-Z a-z 0-9 _ and -")
    _require(_ACTOR.match(asked.actor) is not None, "actor", "must be of the form agent:<name>")
    _require(max(len(asked.scopes), len(asked.tools)) <= COUNT_MAX, "scopes", f"at most {COUNT_MAX} scopes and tools")
    _require(all(0 < len(tool) <= 128 for tool in asked.tools), "tools", "must be names of tools, or *")
    _require(0 <= asked.budget_nano <= AMOUNT_MAX, "budget_nano", "is out of range")
    _require(0 <= asked.budget_tokens <= AMOUNT_MAX, "budget_tokens", "is out of range")
    _require(asked.lifetime_s > 0, "lifetime_s", "must be more than 0")
    try:
        for one in asked.scopes:
            scope(one)
    except InvalidScope as error:
        raise Failure(Code.INVALID, str(error), param="scopes") from error


def forbidden(parent: Claims, asked: Delegate, allowances: Allowances, depth_max: int) -> str:
    """Why this delegation is refused whatever policies say; "" when it is not."""
    if asked.actor in parent.chain:
        return f"{asked.actor} is already in the chain: a cycle of delegation is refused"
    above = {parent.run, *parent.lineage, *(account.name.removeprefix("run:") for account in parent.accounts)}
    if asked.run in above:
        return "a run cannot delegate to itself"
    if len(parent.chain) >= depth_max or len(parent.accounts) >= ACCOUNTS_MAX:
        return f"the chain of delegation may be {depth_max} long"
    for below, actor in enumerate(reversed(parent.chain), 1):
        allowance = allowances.of(parent.tenant, actor)
        if allowance is not None and allowance.below is not None and below > allowance.below:
            return f"below {actor} the chain may be {allowance.below} long"
    own = allowances.of(parent.tenant, asked.actor)
    if own is not None and not (own.scopes or own.tools):
        return f"{asked.actor} has no allowance: it may have nothing"
    return ""


def narrowed(
    parent: Claims,
    asked: Delegate,
    allowance: Allowance | None,
    remaining: Remaining,
    now: float,
    lifetime_max_s: float,
    key_expires: float,
) -> Claims:
    """The child's claims: what the parent has and is asked for and the agent may have (None: whatever it is given).
    Raises Failure(BUDGET_EXHAUSTED) when nothing is left to carve.

    The token of an API key lives for minutes and stands for a key that lives on, so that a run may outlive it (not the
    key); a run's token bounds those below it.
    """
    exp = now + min(asked.lifetime_s, lifetime_max_s)
    scopes, tools = narrow(parent.scopes, asked.scopes), narrow_names(parent.tools, asked.tools)
    wanted_nano, wanted_tokens = asked.budget_nano, asked.budget_tokens
    if allowance is not None:
        exp = min(exp, now + (allowance.lifetime_s or lifetime_max_s))
        scopes, tools = allowance.narrow(scopes), narrow_names(tools, allowance.tools)
        wanted_nano = _least(wanted_nano, allowance.nano)
        wanted_tokens = _least(wanted_tokens, allowance.tokens or 0)
    if parent.run:
        exp = min(exp, parent.exp)
    if key_expires:
        exp = min(exp, key_expires)
    nano = _carved("dollars", wanted_nano, remaining.nano)
    tokens = _carved("tokens", wanted_tokens, remaining.tokens)
    own = (Account(f"run:{asked.run}", nano, tokens),) if nano or tokens else ()
    return msgspec.structs.replace(
        parent,
        exp=exp,
        iat=now,
        chain=(*parent.chain, asked.actor),
        scopes=scopes,
        tools=tools,
        run=asked.run,
        accounts=(*parent.accounts, *own),
        lineage=(*parent.lineage, asked.run),
    )


def delegation(asked: Delegate, attempt: str) -> Question:
    """The question that policies are asked about a delegation."""
    name = asked.actor.partition(":")[2]
    # the same job handed in again, as after an approval, is another run
    digest = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(asked, run=""))).hexdigest()
    return Question(
        ActionName(DELEGATE), Entity("Agent", name), attempt=attempt, arguments_digest=digest, outcome_due_s=0.0
    )


def delegation_attempt(parent: Claims, asked: Delegate) -> str:
    """The same run asking again, for the same one, is one decision."""
    seed = "\n".join((parent.tenant, parent.sub, parent.key, parent.run, asked.run, asked.actor))
    return f"att_{hashlib.sha256(seed.encode()).hexdigest()[:32]}"


def _least(asked: int, allowed: int) -> int:
    """0 is no bound."""
    return min(asked, allowed) if asked and allowed else asked or allowed


def _carved(what: str, asked: int, remaining: int) -> int:
    if not asked or remaining < 0:
        return asked
    if remaining == 0:
        raise Failure(Code.BUDGET_EXHAUSTED, f"no {what} are left to give to a run")
    return min(asked, remaining)


def _require(holds: bool, field: str, what: str) -> None:
    if not holds:
        raise Failure(Code.INVALID, f"{field} {what}", param=field)
