"""Everything that can be asked of the edge, in groups."""

from penstock.bus import Bus
from services.gateway.account_routes import AccountRoutes
from services.gateway.approval_routes import ApprovalRoutes
from services.gateway.authzen_routes import AuthzenRoutes
from services.gateway.config import Config
from services.gateway.exchange import Exchange
from services.gateway.intake import Intake
from services.gateway.job_routes import JobRoutes
from services.gateway.key_routes import KeyRoutes
from services.gateway.model_routes import ModelRoutes
from services.gateway.policy_routes import PolicyRoutes
from services.gateway.run_routes import RunRoutes


class Handlers:
    """Every handler returns the HTTP status that it sent, or raises Failure before it sent anything."""

    def __init__(self, bus: Bus, config: Config) -> None:
        intake = Intake(config)
        self.models = ModelRoutes(bus, config, intake)
        self.jobs = JobRoutes(bus, config, intake)
        self.keys = KeyRoutes(bus, intake)
        self.runs = RunRoutes(bus, intake)
        self.accounts = AccountRoutes(bus)
        self.approvals = ApprovalRoutes(bus, intake)
        self.policies = PolicyRoutes(bus, intake)
        self.authzen = AuthzenRoutes(bus, intake)

    async def root(self, exchange: Exchange) -> int:
        """GET and HEAD /: some clients try whether there is anybody."""
        return await exchange.reply(b'{"name":"penstock"}')
