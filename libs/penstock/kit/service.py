"""A service is a name and a list of endpoints. `run` is its process, `running` the same in a test's own loop."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NoReturn, TypeVar

import uvloop

from penstock.contracts.errors import Failure
from penstock.kit.clock import Clock, SystemClock
from penstock.kit.config import ConfigError, KitConfig, load, shown, unknown_names
from penstock.kit.entry import Background, Endpoint, Service, answer, deposit, edge, listen, stream, work
from penstock.kit.handling import bug
from penstock.kit.lifecycle import NO_ENVIRONMENT, Build, Host
from penstock.kit.log import LibraryLogs, Log
from penstock.kit.parts import Parts

__all__ = [
    "Background",
    "Build",
    "Endpoint",
    "Host",
    "Parts",
    "Service",
    "answer",
    "deposit",
    "edge",
    "listen",
    "run",
    "running",
    "stream",
    "work",
]

ConfigType = TypeVar("ConfigType", bound=KitConfig)

BAD_CONFIG = 2
CRASHED = 1


def run(
    build: Build[ConfigType],
    config_type: type[ConfigType],
    name: str,
    *,
    honours: frozenset[str] = frozenset(),
) -> NoReturn:
    """The whole process: settings from the environment, start, SIGTERM or ^C, drain. A second signal ends it at once.

    Exit status 0: stopped and nothing lost; 1: crashed, or records lost; 2: bad settings, said on standard error.
    `honours`: names of the obligations that this service can carry out.
    """
    try:
        config = load(config_type, os.environ)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(BAD_CONFIG)
    log = Log(level=config.log_level).bind(service=name)
    log.info("config", **shown(config))
    unknown = unknown_names(config_type, os.environ)
    if unknown:
        log.warning("settings unknown to this service", names=unknown)
    logging.getLogger().addHandler(LibraryLogs(log))
    host = Host(build, config, name, log=log, clock=SystemClock(), honours=honours, otel=os.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_process(host, log)))


@asynccontextmanager
async def running(
    build: Build[ConfigType],
    config: ConfigType,
    name: str,
    *,
    honours: frozenset[str] = frozenset(),
    clock: Clock | None = None,
    log: Log | None = None,
    otel: Mapping[str, str] = NO_ENVIRONMENT,
) -> AsyncIterator[Host[ConfigType]]:
    """A service in this loop, ready when the block begins and drained when it ends. `host.parts` are its parts."""
    own_log = (log or Log(level=config.log_level)).bind(service=name)
    host = Host(build, config, name, log=own_log, clock=clock or SystemClock(), honours=honours, otel=otel)
    try:
        await host.start()
        yield host
    finally:
        await host.stop(asyncio.Event())


async def _process(host: Host[ConfigType], log: Log) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: _unhandled(context, log))
    soft, hard = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (hard if soft.is_set() else soft).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    asked = asyncio.create_task(soft.wait())
    failed = asyncio.create_task(host.failed.wait())
    starting = asyncio.create_task(host.start())
    await asyncio.wait({starting, asked, failed}, return_when=asyncio.FIRST_COMPLETED)
    crashed = not await _started(starting, log)
    if not crashed:
        await asyncio.wait({asked, failed}, return_when=asyncio.FIRST_COMPLETED)
    crashed = (crashed and not soft.is_set()) or host.failed.is_set()
    code = await host.stop(hard)
    for task in (asked, failed):
        task.cancel()
    return CRASHED if crashed else code


async def _started(starting: asyncio.Task[Parts], log: Log) -> bool:
    """Whether the start came to its end; says why not. A start still under way is given up."""
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
    if starting.cancelled():
        return False
    error = starting.exception()
    if isinstance(error, Failure):
        log.error("cannot start", why=str(error))
    elif isinstance(error, Exception):
        bug(error, log, where="start")
    return error is None


def _unhandled(context: dict[str, object], log: Log) -> None:
    """What asyncio has nobody else to tell."""
    error = context.get("exception")
    if isinstance(error, Exception):
        bug(error, log, where=str(context.get("message", "")))
    else:
        log.error("unhandled", message=str(context.get("message", "")))
