"""A service is a name and a list of endpoints. `run` is its process, `running` the same in a test's own loop."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeVar

import uvloop

from penstock.bus import Bus
from penstock.kit.boundary import Boundary
from penstock.kit.clock import Clock
from penstock.kit.config import ConfigError, KitConfig, load, shown, unknown_names
from penstock.kit.entry import Endpoint, answer, edge, listen, stream, work
from penstock.kit.identity import Identities
from penstock.kit.log import LibraryLogs, Log
from penstock.kit.metrics import Metrics
from penstock.kit.recorder import Recorder

__all__ = ["Background", "Endpoint", "Parts", "Service", "answer", "edge", "listen", "run", "running", "stream", "work"]
