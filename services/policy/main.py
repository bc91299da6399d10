"""The policy service: its endpoints, its process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from penstock.contracts.governance import (
    POLICY_AUTHENTICATE,
    POLICY_EVALUATE,
    POLICY_EVALUATIONS,
    TOKEN,
)
from penstock.contracts.services import POLICY
from penstock.kit.service import Parts, Service, answer, run
from services.policy.assembly import Assembly
from services.policy.config import Config


@asynccontextmanager
async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
    """The service, until the block is left."""
    made = Assembly(config, parts)
    handlers, many, few = made.handlers, config.evaluate_in_flight_max, config.calls_in_flight_max
    try:
        await made.start()
        endpoints = [
            answer(POLICY_EVALUATE, handlers.evaluate, in_flight_max=many),
            answer(POLICY_EVALUATIONS, handlers.evaluations, in_flight_max=few),
            answer(POLICY_AUTHENTICATE, handlers.authenticate, in_flight_max=few, open_to_all=True),
            answer(TOKEN, handlers.token, in_flight_max=few, open_to_all=True),
            *made.endpoints(),
        ]
        yield Service(POLICY, endpoints, background=made.background())
    finally:
        await made.close()


def main() -> NoReturn:
    """The process."""
    run(build, Config, POLICY)
