"""The parts of approvals, put together."""

from penstock.contracts.governance import APPROVAL_ANSWER, APPROVAL_GET, APPROVAL_LIST
from penstock.kit.parts import Parts
from penstock.kit.service import Background, Endpoint, answer
from services.policy.admin import Admin
from services.policy.approvals.handlers import ApprovalHandlers
from services.policy.approvals.hold import Holding
from services.policy.approvals.register import Register
from services.policy.approvals.upkeep import Upkeep
from services.policy.config import Config
from services.policy.rulebook import Rulebook


class Approvals:
    """`holding` is what the evaluator asks; `watch` must run."""

    def __init__(self, config: Config, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        self._register = Register(parts.bus, parts.clock)
        self.holding = Holding(self._register, parts.clock, parts.metrics, config)
        upkeep = Upkeep(self._register, parts.bus, parts.clock, parts.metrics, parts.log, config.approvals_look_every_s)
        self.watch: Background = upkeep.watch

    def endpoints(self, rules: Rulebook, admin: Admin) -> list[Endpoint]:
        """What is answered."""
        parts, few = self._parts, self._config.calls_in_flight_max
        handlers = ApprovalHandlers(self._register, admin, rules, parts.identities, parts.clock, self._config)
        return [
            answer(APPROVAL_LIST, handlers.many, in_flight_max=self._config.approval_lists_in_flight_max),
            answer(APPROVAL_GET, handlers.one, in_flight_max=few),
            answer(APPROVAL_ANSWER, handlers.answer, in_flight_max=few),
        ]
