"""Starts the tool executor."""

import logging
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

from penstock.contracts.services import TOOLS
from penstock.contracts.subjects import TOOL_CALL, TOOL_LIST
from penstock.kit.service import Parts, Service, answer, run
from penstock.kit.store import Store
from services.tool_executor.check import ArgumentLimits
from services.tool_executor.config import Config
from services.tool_executor.credentials import Credentials
from services.tool_executor.handlers import Handlers
from services.tool_executor.http import HttpRunner
from services.tool_executor.ledger import Ledger, LedgerLimits
from services.tool_executor.registry import Registry
from services.tool_executor.runner import Runner
from services.tool_executor.sql import SqlRunner
from services.tool_executor.toolsfile import ToolEntry


@asynccontextmanager
async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
    """Waits for the store; refuses to start on a bad tools file."""
    logging.getLogger("sqlglot").disabled = True  # its warnings quote the statement
    credentials = Credentials(os.environ)
    threads = ThreadPoolExecutor(config.sql_threads_max, thread_name_prefix="sql")

    def runner(entry: ToolEntry, folder: Path) -> Runner:
        return HttpRunner(entry, credentials) if entry.kind == "http" else SqlRunner(entry, folder, threads)

    store = Store(
        config.store_url.reveal(), timeout_s=config.store_timeout_s, connections_max=config.store_connections_max
    )
    file = Path(config.tools_file) if config.tools_file else parts.config_dir / "tools.yaml"
    registry = Registry(file, runner, waiting_max=config.tool_waiting_max, wait_s=config.tool_wait_s)
    try:
        await store.check()
        parts.readiness.add("store", store.check)
        await registry.load()
        keep_s, once_s = config.ledger_keep_s, config.ledger_once_keep_s
        ledger = Ledger(store, LedgerLimits(config.ledger_lease_s, keep_s, once_s, once_s))
        limits = ArgumentLimits(config.arguments_max_bytes, config.arguments_depth_max, config.arguments_values_max)
        handlers = Handlers(
            registry, parts.boundary, ledger, limits, parts.clock, parts.metrics, parts.tracer, screens=config.screen
        )
        pool, bound = config.pool, config.calls_in_flight_max
        yield Service(
            TOOLS,
            [
                answer(TOOL_LIST, handlers.list_tools, in_flight_max=bound, pool=pool),
                answer(TOOL_CALL, handlers.call_tool, in_flight_max=bound, pool=pool),
            ],
            background=[ledger.renew_for_ever, partial(registry.keep_fresh, config.tools_reload_s, parts.log)],
        )
    finally:
        await registry.close()
        await store.close()
        threads.shutdown(wait=False, cancel_futures=True)


def main() -> NoReturn:
    """The process."""
    run(build, Config, TOOLS)
