"""What can be asked now: one immutable snapshot of aliases and deployments, with a version. Values only."""

from collections.abc import Iterator, Mapping
from functools import cached_property

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ModelInfo
from services.router.cache.rules import CacheRules
from services.router.choosing.strategy import Strategy
from services.router.models.condition import Condition
from services.router.models.deployment import Abilities, Deployment, Kind
from services.router.templates.shelf import Templates

SHOWN_MAX_CHARS = 80


class Rule(msgspec.Struct, frozen=True):
    """For requests that `when` holds for (None: all): only these deployments; with `others` the alias's own after them.
    `strategy` None is the alias's."""

    name: str
    when: Condition | None
    deployments: tuple[Deployment, ...]
    others: bool = False
    strategy: Strategy | None = None


class Share(msgspec.Struct, frozen=True):
    """A deployment that gets so many of a hundred requests, or copies of them."""

    deployment: Deployment
    percent: float


class Alias(msgspec.Struct, frozen=True, dict=True):
    """A name that callers use, and the deployments behind it.

    `rules`: the first that holds decides. `canaries` are asked first for their share of sessions, `shadows` get copies
    whose answers nobody sees. `fallbacks` are tried, in order, when everything here has failed. `affinity`: requests
    of a session stay with one deployment. `hedge_after_s`: a second deployment is asked when the first has no content
    by then; 0 is never. `cache`: answers are kept.
    """

    name: str
    deployments: tuple[Deployment, ...]
    strategy: Strategy = "priority"
    rules: tuple[Rule, ...] = ()
    canaries: tuple[Share, ...] = ()
    shadows: tuple[Share, ...] = ()
    fallbacks: tuple["Alias", ...] = ()
    affinity: bool = False
    hedge_after_s: float = 0.0
    cache: CacheRules | None = None

    @cached_property
    def looks_at_budget(self) -> bool:
        """Whether a rule depends on what the caller has left."""
        return any(rule.when is not None and rule.when.looks_at("budget_left_usd") for rule in self.rules)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What any of its deployments does."""
        return tuple(sorted({kind for deployment in self.deployments for kind in deployment.kinds}))

    @cached_property
    def particular(self) -> bool:
        """Whether it matters what a request needs: some deployment lacks an ability, or a rule may ask for it."""
        return any(
            alias.rules or any(each.abilities != Abilities() for each in alias.everyone()) for alias in self.path()
        )

    @cached_property
    def endpoints(self) -> int:
        """How many of them a request may reach: signatures of one mean nothing to another."""
        return len({each.endpoint for alias in self.path() for each in alias.everyone()})

    @cached_property
    def protocols(self) -> frozenset[str]:
        """Those that every deployment speaks: a request in one of them is never translated."""
        spoken = [frozenset(each.protocols) for alias in self.path() for each in alias.everyone()]
        return frozenset.intersection(*spoken) if spoken else frozenset()

    def everyone(self) -> Iterator[Deployment]:
        """Every deployment that a request for this alias may reach, fallbacks' apart; one may come twice."""
        yield from self.deployments
        for rule in self.rules:
            yield from rule.deployments
        for share in (*self.canaries, *self.shadows):
            yield share.deployment

    def only(self, deployments: tuple[Deployment, ...]) -> "Alias":
        """These alone, in this order of preference: no rules, canaries, copies or fallbacks."""
        return Alias(self.name, deployments, self.strategy)

    def path(self) -> Iterator["Alias"]:
        """Itself, then its fallbacks and theirs, each once."""
        seen: dict[str, Alias] = {}
        waiting = [self]
        while waiting:
            alias = waiting.pop(0)
            if alias.name not in seen:
                seen[alias.name] = alias
                waiting[:0] = alias.fallbacks
        yield from seen.values()

    def info(self) -> ModelInfo:
        """As callers see it: what every deployment behind it can be relied on for."""
        windows = [each.context_tokens for each in self.deployments if each.context_tokens]
        owners = sorted({each.provider for each in self.deployments})
        tools = any(each.tools and "chat" in each.kinds for each in self.deployments)
        return ModelInfo(self.name, self.kinds, ", ".join(owners), max(windows, default=0), tools)


class Catalogue(msgspec.Struct, frozen=True):
    """A request works on the snapshot it began with, whatever is loaded meanwhile."""

    aliases: Mapping[str, Alias]
    default_chat: str = ""
    default_embed: str = ""
    version: str = ""
    templates: Templates = Templates()

    def find(self, name: str) -> Alias:
        """Raises Failure(NOT_FOUND)."""
        alias = self.aliases.get(name)
        if alias is None:
            shown = name if len(name) <= SHOWN_MAX_CHARS else name[:SHOWN_MAX_CHARS] + "…"
            raise Failure(Code.NOT_FOUND, f"there is no model {shown!r}", param="model")
        return alias
