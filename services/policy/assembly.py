"""The policy service's parts, made of its settings and put together."""

from collections.abc import Sequence
from functools import partial

from penstock.kit.parts import Parts
from penstock.kit.service import Background, Endpoint
from services.policy.admin import Admin
from services.policy.approvals.part import Approvals
from services.policy.callout.doorman import answering
from services.policy.config import Config
from services.policy.delegation.part import delegation_endpoints
from services.policy.evaluate import Evaluator
from services.policy.handlers import Handlers
from services.policy.identity.part import KeyPart
from services.policy.identity.publish_key import publish
from services.policy.identity.tokens import signer_at
from services.policy.money.part import Money
from services.policy.oidc.part import SignOn
from services.policy.publishing.part import Publishing
from services.policy.rulebook import rulebook
from services.policy.upkeep import Every


class Assembly:
    """Everything that the service answers with. `start` it before it answers, and close it at the end."""

    def __init__(self, config: Config, parts: Parts) -> None:
        """Raises Failure(INVALID) for a bad file."""
        self._config = config
        self._parts = parts
        self._rules = rules = rulebook(config, parts.config_dir, parts.data_dir, parts.log, parts.metrics)
        self._publishing = Publishing(config, parts, rules)
        signer = signer_at(config.signing_key(parts.data_dir))
        self._published = partial(
            publish, parts.bus, parts.identities, signer.public, parts.clock, config.token_life_max_s
        )
        self._keys = KeyPart(config, parts, rules.keys, lambda: rules.key_file)
        self._sign_on = SignOn(config, parts)
        self._money = Money(config, parts)
        self._approvals = Approvals(config, parts)
        accounts, holding = self._money.accounts, self._approvals.holding
        self._evaluator = Evaluator(rules, accounts, holding, parts.recorder, parts.clock, parts.metrics, config)
        self._admin = Admin(
            self._evaluator, parts.recorder, parts.identities, parts.clock, frozenset(config.operator_tenants)
        )
        self.handlers = Handlers(
            rules, self._evaluator, signer, self._sign_on.sign_in, parts.identities, parts.clock, config
        )
        self._delegation = partial(delegation_endpoints, config, parts, rules, self._evaluator, accounts, signer)

    async def start(self) -> None:
        """Raises Failure while the broker cannot be read."""
        await self._publishing.start()
        await self._published()
        await self._keys.load()

    def endpoints(self) -> Sequence[Endpoint]:
        """What the parts answer themselves."""
        return (
            *self._money.endpoints(self._rules, self._admin),
            *self._approvals.endpoints(self._rules, self._admin),
            *self._keys.endpoints(self._admin),
            *self._delegation(self._admin),
            *self._publishing.endpoints(self._admin),
        )

    def background(self) -> list[Background]:
        """What runs beside."""
        config, parts, rules = self._config, self._parts, self._rules
        return [
            Every("reload", config.reload_every_s, rules.look, parts.clock, parts.log).run,
            Every("key", config.key_check_every_s, self._published, parts.clock, parts.log).run,
            Every("undone", config.expire_every_s, self._evaluator.pay, parts.clock, parts.log).run,
            self._approvals.watch,
            *self._money.background(),
            *self._keys.background(),
            *self._sign_on.background(),
            *self._publishing.background(),
            *answering(config, parts, lambda: rules.keys, self._sign_on.sign_in),
        ]

    async def close(self) -> None:
        await self._money.close()
        await self._sign_on.close()
