"""What the kit hands to a service's builder."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from penstock.bus import Bus
from penstock.kit.boundary import Boundary
from penstock.kit.clock import Clock
from penstock.kit.identity import Identities
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.readiness import Readiness
from penstock.kit.recorder import Recorder
from penstock.kit.span import Tracer


@dataclass(frozen=True)
class Parts:
    """Made once per process, closed by the kit.

    `config_dir`, `data_dir`: where the service's files are and where it may write (neither is made by the kit);
    `instance`: this process among its replicas, a valid subject token; `stopping` is set when a stop begins;
    `readiness.add(name, check)` makes readiness ask for more than the broker and the audit stream; `tracer` costs
    nothing where no spans are exported.
    """

    service: str
    instance: str
    bus: Bus
    metrics: Metrics
    log: Log
    clock: Clock
    boundary: Boundary
    recorder: Recorder
    identities: Identities
    readiness: Readiness
    tracer: Tracer
    stopping: asyncio.Event
    config_dir: Path
    data_dir: Path
