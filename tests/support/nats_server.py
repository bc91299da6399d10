"""A real broker for a test, in a folder of its own, to be stopped, killed, paused and started again."""

import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.local.broker import Broker, BrokerSettings

# max_payload: the server's own default, written down because tests rely on it
DEFAULT_CONFIG = """
feature_flags { js_ack_fc_v2: false }
jetstream { sync_interval: always }
max_payload: 1MB
"""


class NatsServer:
    """What a test may do to the broker. The address and the store outlive every stop."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self._broker = broker
        self.folder = folder

    @property
    def url(self) -> str:
        return self._broker.url

    @property
    def port(self) -> int:
        return self._broker.port

    @property
    def monitoring_url(self) -> str:
        """/varz, /connz, /subsz, /jsz: what the broker itself says of its connections and streams."""
        url = self._broker.monitoring_url
        assert url is not None
        return url

    @property
    def log(self) -> str:
        return (self.folder / "broker.log").read_text(encoding="utf-8")

    async def start(self) -> None:
        await self._broker.start()

    async def stop(self) -> None:
        await self._broker.stop()

    async def restart(self) -> None:
        """As SIGTERM and a start: same port, same store."""
        await self._broker.restart()

    async def kill(self) -> None:
        """kill -9; `start` brings it back with what was on the disk."""
        await self._broker.child.kill()

    def reconfigure(self, config: str) -> None:
        """A new configuration, taken over while it runs (SIGHUP)."""
        (self.folder / "nats.conf").write_text(config, encoding="utf-8")
        self._broker.child.signal(signal.SIGHUP)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._broker.child.pause()

    def resume(self) -> None:
        self._broker.child.resume()


@asynccontextmanager
async def nats_server(config: str = DEFAULT_CONFIG, port: int = 0) -> AsyncIterator[NatsServer]:
    """`config` names everything but addresses and the store's folder."""
    with tempfile.TemporaryDirectory(prefix="penstock-nats-") as name:
        folder = Path(name)
        file = folder / "nats.conf"
        file.write_text(config, encoding="utf-8")
        broker = Broker(BrokerSettings(file, folder, store=folder / "store", port=port, monitoring_port=0, grace_s=5))
        await broker.start()
        try:
            yield NatsServer(broker, folder)
        finally:
            await broker.child.kill()
