"""penstock setup as a process, on a broker that comes and goes."""

from penstock.bus import Bus, BusConfig
from penstock.contracts.errors import Failure
from penstock.contracts.services import ORCHESTRATOR
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.process import module_process


async def test_it_prepares_a_broker_and_ends(broker: NatsServer) -> None:
    async with module_process("penstock.cli", ["setup", "--json", "--url", broker.url]) as process:
        assert await process.child.exited() == 0
        assert '"stream JOBS: made"' in process.output
    async with module_process("penstock.cli", ["setup", "--url", broker.url]) as process:
        assert await process.child.exited() == 0
        assert "everything was there already" in process.output


async def test_staying_it_prepares_the_broker_again_after_each_of_its_deaths(broker: NatsServer) -> None:
    async with module_process("penstock.cli", ["setup", "--stay", "--json", "--url", broker.url]) as process:
        await process.says('"set-up","what":"ready"')
        bus = await Bus.connect(BusConfig(url=broker.url, principal=ORCHESTRATOR))
        try:
            for _ in range(2):
                await broker.kill()
                await broker.start()

                async def whole() -> None:
                    try:
                        assert await bus.drift(ORCHESTRATOR) == []
                    except Failure as failure:
                        raise AssertionError from failure

                await eventually(whole, 15, every_s=0.1)
        finally:
            await bus.close()
        assert await process.terminate() == 0
