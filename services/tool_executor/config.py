"""Settings of the tool executor."""

from typing import Annotated

from msgspec import Meta

from penstock.kit.config import Count, KitConfig, Seconds, Secret


class Config(KitConfig, frozen=True, kw_only=True):
    """store_url: Valkey or Redis, for the call ledger.
    store_timeout_s, store_connections_max: one command; connections to the store.
    tools_file: the tools; "" is tools.yaml in config_dir. It is looked at every tools_reload_s.
    pool: the name under which these tools are offered.
    calls_in_flight_max: calls at once, over all tools; above it callers are told `overloaded`.
    tool_waiting_max, tool_wait_s: calls that may wait while a tool has all its places taken, and how long.
    arguments_max_bytes, arguments_depth_max, arguments_values_max: of one call.
    sql_threads_max: SQL statements at once.
    screen: whether policy is told what is found in arguments (personal, secrets, hidden_text), and runs are tainted by
    what is found in results; false saves that time where no policy asks.
    ledger_lease_s: how soon the call of an executor that died is given up.
    ledger_keep_s, ledger_once_keep_s: how long answers are kept for their keys; the second, for tools with effect
    `once`, must outlast every run.
    """

    store_url: Secret = Secret("redis://127.0.0.1:6379/0")
    store_timeout_s: Seconds = 5.0
    store_connections_max: Count = 64
    tools_file: str = ""
    tools_reload_s: Annotated[float, Meta(gt=0)] = 2.0
    pool: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "default"
    calls_in_flight_max: Count = 256
    tool_waiting_max: Annotated[int, Meta(ge=0)] = 64
    tool_wait_s: Seconds = 5.0
    arguments_max_bytes: Count = 256 * 1024
    arguments_depth_max: Count = 32
    arguments_values_max: Count = 10_000
    sql_threads_max: Count = 8
    screen: bool = True
    ledger_lease_s: Annotated[float, Meta(gt=0)] = 10.0
    ledger_keep_s: Seconds = 24 * 3600.0
    ledger_once_keep_s: Seconds = 31 * 24 * 3600.0
