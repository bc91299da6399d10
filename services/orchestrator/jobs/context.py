"""What a kind of job has in hand while it is carried out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from penstock.bus import Bus
from penstock.contracts.jobs import Job
from services.orchestrator.agents import Agent
from services.orchestrator.steps import Steps


@dataclass(frozen=True, slots=True)
class Bounds:
    """The worker's limits for one step, in bytes and turns."""

    model_stream_max_bytes: int
    tool_result_max_bytes: int
    history_turns_max: int


@dataclass(frozen=True, slots=True)
class JobContext:
    """`agent` is the definition that the run is pinned to; None for kinds that have none."""

    run: str
    tenant: str
    job: Job
    agent: Agent | None
    steps: Steps
    bus: Bus
    bounds: Bounds


Kind = Callable[[JobContext], Awaitable[msgspec.Struct]]
"""Carries out one kind of job and gives its output. Whatever is not determined by the context goes through a step."""
