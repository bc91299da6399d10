"""The policy service: its parts, its endpoints, its process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NoReturn

from penstock.contracts.governance import (
    AUDIT_BATCH,
    POLICY_AUTHENTICATE,
    POLICY_BALANCES,
    POLICY_DELEGATE,
    POLICY_EVALUATE,
    POLICY_EVALUATIONS,
    SETTLE_SINK,
    TOKEN,
)
from penstock.contracts.services import POLICY
from penstock.kit.service import Background, Parts, Service, answer, listen, run
from penstock.kit.store import Store
from services.policy.config import Config
from services.policy.evaluate import Evaluator
from services.policy.handlers import Handlers
from services.policy.identity.publish_key import publish
from services.policy.identity.tokens import signer_at
from services.policy.money.accounts import Accounts
from services.policy.money.heard import Heard
from services.policy.money.rebuild import Rebuilder
from services.policy.money.settle import Settler
from services.policy.rulebook import rulebook
from services.policy.upkeep import Every


@asynccontextmanager
async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
    """The service, until the block is left."""
    rules = rulebook(config, parts.config_dir, parts.data_dir, parts.log, parts.metrics)
    signer = signer_at(config.signing_key(parts.data_dir))
    published = partial(publish, parts.bus, parts.identities, signer.public)
    await published()
    store = Store(config.store_url.reveal(), timeout_s=config.store_timeout_s)
    rebuilder = Rebuilder(parts.bus, config.rebuild_page_max)
    accounts = Accounts(
        store,
        rebuilder.ledger_of,
        parts.clock,
        timeout_s=config.store_timeout_s,
        settled_kept_s=config.settled_kept_s,
        unrecorded_s=config.unrecorded_s,
    )
    parts.readiness.add("store", accounts.check)
    evaluator = Evaluator(rules, accounts, parts.recorder, parts.clock, parts.metrics, config)
    settler = Settler(accounts, Heard(parts.bus, parts.clock), parts.metrics, parts.log)
    handlers = Handlers(rules, evaluator, accounts, signer, parts.identities, parts.clock, config)
    many, few = config.evaluate_in_flight_max, config.calls_in_flight_max
    endpoints = [
        answer(POLICY_EVALUATE, handlers.evaluate, in_flight_max=many),
        answer(POLICY_EVALUATIONS, handlers.evaluations, in_flight_max=few),
        answer(POLICY_DELEGATE, handlers.delegate, in_flight_max=few),
        answer(POLICY_BALANCES, handlers.balances, in_flight_max=few),
        answer(POLICY_AUTHENTICATE, handlers.authenticate, in_flight_max=few, open_to_all=True),
        answer(TOKEN, handlers.token, in_flight_max=few, open_to_all=True),
        listen(AUDIT_BATCH, SETTLE_SINK, settler.heard),
    ]
    background: list[Background] = [
        Every("reload", config.reload_every_s, rules.look, parts.clock, parts.log).run,
        Every("key", config.key_check_every_s, published, parts.clock, parts.log).run,
        Every("leases", config.expire_every_s, settler.expire, parts.clock, parts.log).run,
        Every("undone", config.expire_every_s, evaluator.pay, parts.clock, parts.log).run,
    ]
    try:
        yield Service(POLICY, endpoints, background=background)
    finally:
        await store.close()


def main() -> NoReturn:
    """The process."""
    run(build, Config, POLICY)
