"""The order of deployments that would all do, by each of the strategies. Pure.

`seed` is what chance there is: drawn anew for each request, or taken from its session so that it stays.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from services.router.choosing.affinity import score
from services.router.choosing.request import Need
from services.router.choosing.standing import UNSEEN, Standing
from services.router.models.deployment import Deployment
from services.router.models.price import worst_case

Strategy = Literal["priority", "weighted", "least_latency", "least_busy", "cheapest", "usage_aware"]
Ordered = list[tuple[Deployment, str]]


class Scene:
    """What an order is made from."""

    __slots__ = ("need", "now", "seed", "standings")

    def __init__(self, need: Need, standings: Mapping[str, Standing], now: float, seed: str) -> None:
        self.need = need
        self.standings = standings
        self.now = now
        self.seed = seed

    def standing(self, deployment: Deployment) -> Standing:
        return self.standings.get(deployment.id, UNSEEN)


def ordered(strategy: Strategy, deployments: Sequence[Deployment], scene: Scene) -> Ordered:
    """All of them, each with the reason for its place. Lower `priority` numbers stay before higher ones."""
    if strategy == "priority":
        return _priority(sorted(deployments, key=lambda each: each.priority), scene)
    result: Ordered = []
    order = _ORDERS[strategy]
    for tier in sorted({deployment.priority for deployment in deployments}):
        result += order([each for each in deployments if each.priority == tier], scene)
    return result


def _priority(deployments: list[Deployment], _scene: Scene) -> Ordered:
    return [(each, f"number {place} of the alias") for place, each in enumerate(deployments, 1)]


def _weighted(deployments: list[Deployment], scene: Scene) -> Ordered:
    """A random order in which each is first in proportion to its weight (Efraimidis and Spirakis)."""
    total = sum(each.weight for each in deployments)
    ranked = sorted(deployments, key=lambda each: -score(scene.seed, each))
    return [(each, f"weighted: {100 * each.weight / total:.3g} %") for each in ranked]


def _least_latency(deployments: list[Deployment], scene: Scene) -> Ordered:
    """Of two drawn at random the faster one goes first, the rest by speed: not all routers rush to the same."""
    cost = {each.id: scene.standing(each).wait_s(scene.need, scene.now) for each in deployments}
    two = sorted(deployments, key=lambda each: -score(scene.seed, each))[:2]
    first = min(two, key=lambda each: cost[each.id])
    rest = sorted((each for each in deployments if each is not first), key=lambda each: cost[each.id])
    said = " and ".join(each.name for each in two)
    reasons = [f"the faster of {said}, {cost[first.id]:.3g} s" if len(two) > 1 else "alone"]
    reasons += [f"by speed, {cost[each.id]:.3g} s" for each in rest]
    return list(zip([first, *rest], reasons, strict=True))


def _least_busy(deployments: list[Deployment], scene: Scene) -> Ordered:
    """By calls under way for their weight; among equals by chance."""
    standings = {each.id: scene.standing(each) for each in deployments}
    under_way = {id: standing.in_flight + standing.elsewhere.in_flight for id, standing in standings.items()}

    def place(each: Deployment) -> tuple[float, float]:
        return under_way[each.id] / each.weight, -score(scene.seed, each)

    return [(each, f"{under_way[each.id]} calls under way") for each in sorted(deployments, key=place)]


def _cheapest(deployments: list[Deployment], scene: Scene) -> Ordered:
    """By the price of the whole estimate; an unknown price is the highest."""
    need = scene.need
    input_tokens, output_tokens = max(need.tokens - need.output_tokens, 1), max(need.output_tokens, 1)
    cost = {
        each.id: worst_case(input_tokens, output_tokens, each.rates, audio=need.audio).cost_nano for each in deployments
    }
    ranked = sorted(deployments, key=lambda each: (cost[each.id] < 0, cost[each.id]))
    return [
        (each, f"about {cost[each.id] / 1e9:.3g} USD" if cost[each.id] >= 0 else "price unknown") for each in ranked
    ]


def _usage_aware(deployments: list[Deployment], scene: Scene) -> Ordered:
    """By what is left of their minute; among equals by chance, in proportion to weights."""
    left = {each.id: headroom(each, scene.standing(each), scene.need, scene.now) for each in deployments}
    ranked = sorted(deployments, key=lambda each: (-round(left[each.id], 2), -score(scene.seed, each)))
    return [(each, f"{100 * left[each.id]:.0f} % of its minute left") for each in ranked]


def headroom(deployment: Deployment, standing: Standing, need: Need, now: float) -> float:
    """The smaller share of requests and tokens per minute that is left after this request; 1 without limits."""
    requests, tokens = standing.used(now)
    shares = [1.0]
    if deployment.rpm:
        shares.append(1.0 - (requests + 1) / deployment.rpm)
    if deployment.tpm:
        shares.append(1.0 - (tokens + need.tokens) / deployment.tpm)
    return max(min(shares), 0.0)


_ORDERS: Mapping[Strategy, Callable[[list[Deployment], Scene], Ordered]] = {
    "priority": _priority,
    "weighted": _weighted,
    "least_latency": _least_latency,
    "least_busy": _least_busy,
    "cheapest": _cheapest,
    "usage_aware": _usage_aware,
}
