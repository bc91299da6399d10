"""Delegation, put together: child tokens, the book of their chains, and the end of a run."""

from collections.abc import Sequence

from penstock.contracts.governance import CHAIN, POLICY_DELEGATE, RUN_REVOKE
from penstock.kit.service import Endpoint, Parts, answer
from services.policy.admin import Admin
from services.policy.config import Config
from services.policy.delegation.chains import Chains
from services.policy.delegation.handlers import Delegations, Runs
from services.policy.evaluate import Evaluator
from services.policy.identity.tokens import Signer
from services.policy.money.accounts import Accounts
from services.policy.rulebook import Rulebook


def delegation_endpoints(
    config: Config,
    parts: Parts,
    rules: Rulebook,
    evaluator: Evaluator,
    accounts: Accounts,
    signer: Signer,
    admin: Admin,
) -> Sequence[Endpoint]:
    """What is answered about delegation."""
    chains, few = Chains(parts.bus), config.calls_in_flight_max
    delegations = Delegations(
        rules,
        evaluator,
        accounts,
        signer,
        chains,
        parts.identities,
        parts.clock,
        config.depth_max,
        config.run_lifetime_max_s,
    )
    runs = Runs(chains, accounts, admin, parts.identities, parts.clock)
    return (
        answer(POLICY_DELEGATE, delegations.delegate, in_flight_max=few),
        answer(CHAIN, runs.chain, in_flight_max=few),
        answer(RUN_REVOKE, runs.revoke, in_flight_max=few),
    )
