"""Keys of the policy service, put together: the operator's file, the plane's own, and what ends them everywhere."""

from collections.abc import Callable, Sequence

from penstock.contracts.governance import KEY_CREATE, KEY_EXPIRE, KEY_LIST, KEY_REVOKE, KEY_ROTATE, KEY_SHOW
from penstock.kit.service import Background, Endpoint, Parts, answer
from services.policy.admin import Admin
from services.policy.config import Config
from services.policy.identity.file_watch import FileWatch
from services.policy.identity.kept import KeptKeys
from services.policy.identity.key_handlers import KeyHandlers
from services.policy.identity.keyring import Keys
from services.policy.identity.keys import KeyRing
from services.policy.upkeep import Every


class KeyPart:
    """`load` it before the service answers."""

    def __init__(self, config: Config, parts: Parts, keys: Keys, file: Callable[[], KeyRing]) -> None:
        self._config = config
        self._parts = parts
        self._keys = keys
        self._kept = KeptKeys(parts.bus, keys, parts.identities.revocations, parts.log)
        self._file = FileWatch(file, self._kept, parts.clock)

    async def load(self) -> None:
        """Raises Failure while the broker cannot be read."""
        await self._kept.load()

    def endpoints(self, admin: Admin) -> Sequence[Endpoint]:
        config, parts = self._config, self._parts
        handlers = KeyHandlers(
            self._keys,
            self._kept,
            admin,
            parts.identities,
            parts.clock,
            config.key_lifetime_max_s,
            config.key_grace_max_s,
        )
        few = config.calls_in_flight_max
        return (
            answer(KEY_CREATE, handlers.create, in_flight_max=few),
            answer(KEY_LIST, handlers.list, in_flight_max=few),
            answer(KEY_SHOW, handlers.show, in_flight_max=few),
            answer(KEY_ROTATE, handlers.rotate, in_flight_max=few),
            answer(KEY_EXPIRE, handlers.expire, in_flight_max=few),
            answer(KEY_REVOKE, handlers.revoke, in_flight_max=few),
        )

    def background(self) -> Sequence[Background]:
        parts = self._parts
        return (
            self._kept.watch,
            Every("ended keys", self._config.reload_every_s, self._file.tell, parts.clock, parts.log).run,
        )
