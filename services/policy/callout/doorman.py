"""Answers the broker's callout for as long as the service runs, and ends connections whose key is good no more.

Whoever was let in is found in the broker's own list, not in a memory of ours: it does not matter which replica let it
in, or whether that one still runs.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from penstock.bus import BusConfig
from penstock.bus.callout import Callout, Guest
from penstock.bus.callout_keys import callout_keys
from penstock.contracts.errors import Code, Failure
from penstock.kit.revocations import KEY
from penstock.kit.service import Background, Parts
from services.policy.callout.door import Door, Keys
from services.policy.config import Config
from services.policy.identity.keys import ApiKey
from services.policy.oidc.sign_in import SignIn
from services.policy.upkeep import Every

AGAIN_S = 1.0


def answering(config: Config, parts: Parts, keys: Callable[[], Keys], sign_in: SignIn) -> list[Background]:
    """What answers the callout, where the settings say so; `keys` gives those in force."""
    if not config.callout_dir:
        return []

    def revoked(key: ApiKey) -> bool:
        return parts.identities.revocations.refused((KEY + key.id,), key.tenant)

    door = Door(keys, revoked, sign_in.person, config, parts.clock, parts.metrics, parts.log)
    doorman = Doorman(door, config, parts)
    parts.readiness.add("callout", doorman.check)
    return [doorman.run]


class Doorman:
    """`run` it for as long as the service runs."""

    def __init__(self, door: Door, config: Config, parts: Parts) -> None:
        self._door = door
        self._config = config
        self._clock = parts.clock
        self._metrics = parts.metrics
        self._log = parts.log
        self._callout: Callout | None = None

    async def check(self) -> None:
        """For readiness. Raises Failure(UNAVAILABLE)."""
        if self._callout is None or not self._callout.connected:
            raise Failure(Code.UNAVAILABLE, "tenants' clients cannot connect: the broker's callout is not answered")

    async def run(self) -> None:
        """For ever. Raises Failure(INVALID) for keys that are none."""
        keys = callout_keys(Path(self._config.callout_dir))
        while self._callout is None:
            try:
                self._callout = await Callout.open(
                    BusConfig(url=self._config.nats_url, tls_ca_file=self._config.nats_ca_file),
                    keys,
                    self._door.decide,
                    in_flight_max=self._config.callout_in_flight_max,
                )
            except Failure as failure:
                if failure.code is not Code.UNAVAILABLE:
                    raise
                self._log.warning("the broker's callout cannot be answered", why=failure.detail)
                await self._clock.sleep(AGAIN_S)
        every_s = self._config.callout_sweep_every_s
        sweeping = Every("connections", every_s, partial(self.sweep, self._callout), self._clock, self._log)
        try:
            await sweeping.run()
        finally:
            await self._callout.close()

    async def sweep(self, callout: Callout) -> None:
        """Ends every connection that may not stay. Raises Failure."""
        unwanted = self._door.unwanted(await callout.guests())
        async with asyncio.TaskGroup() as group:
            for guest in unwanted:
                group.create_task(self._show_out(callout, guest))

    async def _show_out(self, callout: Callout, guest: Guest) -> None:
        try:
            await callout.show_out(guest)
        except Failure as failure:
            self._log.warning("a connection could not be ended", name=guest.name, why=failure.detail)
            return
        self._metrics.policy_connections_ended.add()
        self._log.info("a connection was ended", name=guest.name)
