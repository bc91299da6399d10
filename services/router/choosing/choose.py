"""Which deployments of an alias to try, in which order, and why. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from penstock.contracts.errors import Code, Failure
from services.router.choosing import health, minute
from services.router.choosing.affinity import CROWD, drawn, score
from services.router.choosing.request import ABILITIES, Need
from services.router.choosing.standing import UNSEEN, Standing, usable_keys
from services.router.choosing.strategy import Scene, Strategy, ordered
from services.router.fault import FaultKind
from services.router.models.catalogue import Alias, Rule, Share
from services.router.models.deployment import Abilities, Deployment


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
    """Candidates in the order to try them, and those left out. `rule`: the one that decided, "" for none."""

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    rule: str = ""

    def explained(self) -> list[str]:
        """One line for each deployment, for whoever asks why."""
        said = [f"{place}. {each.deployment.name}: {each.reason}" for place, each in enumerate(self.candidates, 1)]
        return said + [f"-. {each.deployment.name}: {each.reason}" for each in self.skipped]


def choose(alias: Alias, need: Need, standings: Mapping[str, Standing], now: float, draw: str = "") -> Choice:
    """The order for one request. `draw` is chance, a new text for each request.

    The rule that holds says whom, the canary's share who is first, the strategy in which order, the session with whom
    to stay; nobody is asked that lacks an ability, rests, is busy or has used up its minute. A window that looks too
    small goes after those that fit and is not ruled out: the estimate may be wrong. So does a model that would answer
    without something that was asked for, where the caller takes that; and one after a rest that its probe is about to
    try.
    """
    stay = alias.affinity and bool(need.session)
    scene = Scene(need, standings, now, f"{alias.name}\0{need.session}" if stay else draw)
    rule = _holding(alias.rules, need)
    groups = _groups(alias, rule, need, draw)
    fitting: list[Candidate] = []
    tight: list[Candidate] = []
    lossy: list[Candidate] = []
    skipped: list[Skipped] = []
    for why, strategy, deployments in groups:
        usable: list[Deployment] = []
        for deployment in deployments:
            out = _ruled_out(deployment, need) or _not_now(deployment, scene)
            lost = _lost(deployment, need) if need.lossy_ok else ""
            if out is not None:
                skipped.append(out)
            elif _probe_is_due(deployment, scene):
                lossy.append(
                    Candidate(deployment, "nobody else is left, and its probe has not said yet whether it is well")
                )
            elif lost:
                lossy.append(Candidate(deployment, f"{lost}, and the caller accepts that"))
            elif 0 < deployment.context_tokens < need.tokens:
                reason = f"about {need.tokens} tokens for a window of {deployment.context_tokens}"
                tight.append(Candidate(deployment, reason))
            else:
                usable.append(deployment)
        fitting += _in_order(strategy, usable, scene, why, stay)
    return Choice((*fitting, *tight, *lossy), tuple(skipped), rule.name if rule else "")


def copies(
    alias: Alias, need: Need, standings: Mapping[str, Standing], now: float, draw: str
) -> tuple[Deployment, ...]:
    """The deployments that get a copy of this request; one that cannot honour it, or cannot now, gets none."""
    scene = Scene(need, standings, now, draw)
    return tuple(
        share.deployment
        for share in alias.shadows
        if 100.0 * drawn("shadow", share.deployment.name, draw) < share.percent
        and _ruled_out(share.deployment, need) is None
        and _not_now(share.deployment, scene) is None
        and not _lost(share.deployment, need)
    )


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


PROBE_DUE_S = 5.0
"""After a rest: a probe looks several times a second whether it may."""
_BUSY = "busy"
ABLE = Abilities()
"""With every ability, which most are."""
_Group = tuple[str, Strategy, Sequence[Deployment]]


def _holding(rules: Sequence[Rule], need: Need) -> Rule | None:
    if not rules:
        return None
    facts = need.facts()
    return next((rule for rule in rules if rule.when is None or rule.when.holds(facts)), None)


def _groups(alias: Alias, rule: Rule | None, need: Need, draw: str) -> list[_Group]:
    """Who may be asked, in groups of which each goes before the next; nobody is in two."""
    groups: list[_Group] = []
    if rule is not None:
        groups.append((f"rule {rule.name}", rule.strategy or alias.strategy, rule.deployments))
    elif (canary := _canary(alias, need, draw)) is not None:
        groups.append((f"canary for {canary.percent:g} %", "priority", (canary.deployment,)))
    if not groups:
        return [("", alias.strategy, alias.deployments)]
    if rule is None or rule.others:
        named = {each.id for _, _, group in groups for each in group}
        groups.append(("", alias.strategy, [each for each in alias.deployments if each.id not in named]))
    return groups


def _canary(alias: Alias, need: Need, draw: str) -> Share | None:
    """A session meets the same one each time."""
    if not alias.canaries:
        return None
    place = 100.0 * drawn("canary", alias.name, need.session or draw)
    for share in alias.canaries:
        if place < share.percent:
            return share
        place -= share.percent
    return None


def _in_order(strategy: Strategy, usable: list[Deployment], scene: Scene, why: str, stay: bool) -> list[Candidate]:
    order = ordered(strategy, usable, scene)
    if stay and len(order) > 1:
        order = _staying(order, scene)
    return [Candidate(each, f"{why}: {reason}" if why else reason) for each, reason in order]


def _staying(order: list[tuple[Deployment, str]], scene: Scene) -> list[tuple[Deployment, str]]:
    """The session's own deployment first, unless it has far more than its share of the calls under way."""
    tier = [each for each, _ in order if each.priority == order[0][0].priority]
    total = sum(scene.standing(each).in_flight for each in tier) + 1
    weight = sum(each.weight for each in tier)
    for mine in sorted(tier, key=lambda each: -score(scene.seed, each)):
        if scene.standing(mine).in_flight < max(CROWD * total * mine.weight / weight, 1.0):
            return [(mine, "its session is here"), *((each, why) for each, why in order if each is not mine)]
    return order


def _ruled_out(deployment: Deployment, need: Need) -> Skipped | None:
    if need.kind not in deployment.kinds:
        return Skipped(deployment, f"does no {need.kind}", True)
    if not need.lossy_ok and (lost := _lost(deployment, need)):
        return Skipped(deployment, lost, True)
    return None


def _lost(deployment: Deployment, need: Need) -> str:
    """What the model would leave out, "" for nothing."""
    able = deployment.abilities
    if able == ABLE:
        return ""
    wanted = (
        (need.tools, able.tools, "tools"),
        (need.schema, able.schema, "schema"),
        (need.images, able.images, "images"),
        (need.documents, able.documents, "documents"),
        (need.audio, able.audio, "audio"),
        (need.reasoning, able.reasoning, "reasoning"),
    )
    return ", ".join(ABILITIES[name] for asked, has, name in wanted if asked and not has)


def _not_now(deployment: Deployment, scene: Scene) -> Skipped | None:
    standing, now = scene.standing(deployment), scene.now
    if health.resting(standing.breaker, now):
        return _resting(deployment, standing.breaker, now)
    if not usable_keys(deployment, standing, now):
        soonest = min(standing.keys, key=lambda breaker: breaker.resting_until)
        return _resting(deployment, soonest, now)
    if standing.in_flight >= deployment.concurrency_max:
        return Skipped(deployment, _BUSY, False, 1.0)
    return _spent(deployment, standing, scene) if deployment.rpm or deployment.tpm else None


def _probe_is_due(deployment: Deployment, scene: Scene) -> bool:
    """Its rest is over, and no request of anybody's need try whether it is well. A probe that does not come is not
    waited for."""
    if deployment.probe is None:
        return False
    return 0 < scene.standing(deployment).untried_s(deployment, scene.now) < PROBE_DUE_S


def _resting(deployment: Deployment, breaker: health.Breaker, now: float) -> Skipped:
    left_s = max(breaker.resting_until - now, 1.0)
    limited = breaker.why is FaultKind.RATE
    return Skipped(deployment, f"resting after a fault: {breaker.why}", False, left_s, limited)


def _spent(deployment: Deployment, standing: Standing, scene: Scene) -> Skipped | None:
    """Its minute. A request larger than a whole minute's tokens goes when nothing else does."""
    requests, tokens = standing.used(scene.now)
    reason = ""
    if deployment.rpm and requests + 1 > deployment.rpm:
        reason = f"its {deployment.rpm} requests a minute are used up"
    elif deployment.tpm and tokens >= 1 and tokens + scene.need.tokens > deployment.tpm:
        reason = f"its {deployment.tpm} tokens a minute are used up"
    if not reason:
        return None
    return Skipped(deployment, reason, False, max(minute.left_s(standing.minute, scene.now), 1.0), True)


__all__ = ["UNSEEN", "Candidate", "Choice", "Need", "Skipped", "Standing", "choose", "copies", "nobody"]
