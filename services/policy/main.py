"""The policy service: its parts, its endpoints, its process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NoReturn

from penstock.contracts.governance import (
    POLICY_AUTHENTICATE,
    POLICY_DELEGATE,
    POLICY_EVALUATE,
    POLICY_EVALUATIONS,
    TOKEN,
)
from penstock.contracts.services import POLICY
from penstock.kit.service import Background, Parts, Service, answer, run
from services.policy.admin import Admin
from services.policy.approvals.part import Approvals
from services.policy.callout.doorman import answering
from services.policy.config import Config
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


@asynccontextmanager
async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
    """The service, until the block is left."""
    rules = rulebook(config, parts.config_dir, parts.data_dir, parts.log, parts.metrics)
    publishing = Publishing(config, parts, rules)
    await publishing.start()
    signer = signer_at(config.signing_key(parts.data_dir))
    published = partial(publish, parts.bus, parts.identities, signer.public, parts.clock, config.token_life_max_s)
    await published()
    keys = KeyPart(config, parts, rules.keys, lambda: rules.key_file)
    await keys.load()
    sign_on = SignOn(config, parts)
    money = Money(config, parts)
    approvals = Approvals(config, parts)
    evaluator = Evaluator(rules, money.accounts, approvals.holding, parts.recorder, parts.clock, parts.metrics, config)
    admin = Admin(evaluator, parts.recorder, parts.identities, parts.clock, frozenset(config.operator_tenants))
    handlers = Handlers(
        rules, evaluator, money.accounts, signer, sign_on.sign_in, parts.identities, parts.clock, config
    )
    many, few = config.evaluate_in_flight_max, config.calls_in_flight_max
    endpoints = [
        answer(POLICY_EVALUATE, handlers.evaluate, in_flight_max=many),
        answer(POLICY_EVALUATIONS, handlers.evaluations, in_flight_max=few),
        answer(POLICY_DELEGATE, handlers.delegate, in_flight_max=few),
        answer(POLICY_AUTHENTICATE, handlers.authenticate, in_flight_max=few, open_to_all=True),
        answer(TOKEN, handlers.token, in_flight_max=few, open_to_all=True),
        *money.endpoints(rules, admin),
        *approvals.endpoints(rules, admin),
        *keys.endpoints(admin),
        *publishing.endpoints(admin),
    ]
    background: list[Background] = [
        Every("reload", config.reload_every_s, rules.look, parts.clock, parts.log).run,
        Every("key", config.key_check_every_s, published, parts.clock, parts.log).run,
        Every("undone", config.expire_every_s, evaluator.pay, parts.clock, parts.log).run,
        approvals.watch,
        *money.background(),
        *keys.background(),
        *sign_on.background(),
        *publishing.background(),
        *answering(config, parts, lambda: rules.keys, sign_on.sign_in),
    ]
    try:
        yield Service(POLICY, endpoints, background=background)
    finally:
        await money.close()
        await sign_on.close()


def main() -> NoReturn:
    """The process."""
    run(build, Config, POLICY)
