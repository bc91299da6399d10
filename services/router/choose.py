"""Which deployments of an alias to try, in which order, and why. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from penstock.contracts.errors import Code, Failure
from services.router import health
from services.router.deployment import Deployment, Kind
from services.router.fault import FaultKind


class Need(msgspec.Struct, frozen=True):
    """What a request asks of a deployment. `tokens`: the estimate of its input and its longest output."""

    kind: Kind
    tools: bool = False
    tokens: int = 0


class Standing(msgspec.Struct, frozen=True):
    """What is known of a deployment now."""

    breaker: health.Breaker = health.WELL
    in_flight: int = 0


class Candidate(msgspec.Struct, frozen=True):
    """One to try, and why it stands where it stands."""

    deployment: Deployment
    reason: str


class Skipped(msgspec.Struct, frozen=True):
    """One that is not tried. `lasting`: the request itself rules it out, waiting does not help."""

    deployment: Deployment
    reason: str
    lasting: bool
    retry_after_s: float = 0.0
    limited: bool = False


class Choice(msgspec.Struct, frozen=True):
    """Candidates in the order to try them, and those left out."""

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]


UNSEEN = Standing()


def choose(deployments: Sequence[Deployment], need: Need, standings: Mapping[str, Standing], now: float) -> Choice:
    """The file's order. A window that looks too small goes last and is not ruled out: the estimate may be wrong."""
    fitting: list[Candidate] = []
    tight: list[Candidate] = []
    skipped: list[Skipped] = []
    for place, deployment in enumerate(deployments, 1):
        standing = standings.get(deployment.id, UNSEEN)
        out = _ruled_out(deployment, need) or _not_now(deployment, standing, now)
        if out is not None:
            skipped.append(out)
        elif 0 < deployment.context_tokens < need.tokens:
            reason = f"about {need.tokens} tokens for a window of {deployment.context_tokens}"
            tight.append(Candidate(deployment, reason))
        else:
            fitting.append(Candidate(deployment, f"number {place} of the alias"))
    return Choice((*fitting, *tight), tuple(skipped))


def nobody(alias: str, choice: Choice) -> Failure:
    """The failure for a choice without candidates."""
    waiting = [out for out in choice.skipped if not out.lasting]
    if not waiting:
        reasons = "; ".join(f"{out.deployment.name}: {out.reason}" for out in choice.skipped)
        return Failure(Code.INVALID, f"no deployment of {alias} can do this ({reasons})", param="model")
    retry_after_s = min(out.retry_after_s for out in waiting)
    if all(out.limited for out in waiting):
        detail = f"the rate limit of every deployment of {alias} is reached"
        return Failure(Code.RATE_LIMITED, detail, retry_after_s=retry_after_s)
    if all(out.reason == _BUSY for out in waiting):
        return Failure(Code.OVERLOADED, f"every deployment of {alias} is busy", retry_after_s=retry_after_s)
    return Failure(Code.UNAVAILABLE, f"no deployment of {alias} is well", retry_after_s=retry_after_s)


_BUSY = "busy"


def _ruled_out(deployment: Deployment, need: Need) -> Skipped | None:
    if need.kind not in deployment.kinds:
        return Skipped(deployment, f"does no {need.kind}", True)
    if need.tools and not deployment.tools:
        return Skipped(deployment, "takes no tools", True)
    return None


def _not_now(deployment: Deployment, standing: Standing, now: float) -> Skipped | None:
    breaker = standing.breaker
    if health.resting(breaker, now):
        left_s = max(breaker.resting_until - now, 1.0)
        limited = breaker.why is FaultKind.RATE
        return Skipped(deployment, f"resting after a fault: {breaker.why}", False, left_s, limited)
    if standing.in_flight >= deployment.concurrency_max:
        return Skipped(deployment, _BUSY, False, 1.0)
    return None
