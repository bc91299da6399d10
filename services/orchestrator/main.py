"""Starts the orchestrator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from penstock.contracts.governance import APPROVAL_EVENT, APPROVAL_SINK
from penstock.contracts.services import ORCHESTRATOR
from penstock.contracts.subjects import (
    JOB,
    JOB_CANCEL,
    JOB_EVENTS,
    JOB_GET,
    JOB_LIST,
    JOB_PUBLISH,
    JOB_SUBMIT,
    JOB_TOKENS,
    RUN_DELIVER,
    RUN_INPUT,
)
from penstock.kit.service import Parts, Service, answer, deposit, listen, run, work
from services.orchestrator.admit import Admission
from services.orchestrator.agents import Agents
from services.orchestrator.agents_watch import AgentsWatch
from services.orchestrator.approvals import Answers
from services.orchestrator.blobs import Blobs
from services.orchestrator.config import Config
from services.orchestrator.handlers import Handlers
from services.orchestrator.index import JobIndex
from services.orchestrator.intake import Intake
from services.orchestrator.lookup import JobLookup
from services.orchestrator.worker import Runs


@asynccontextmanager
async def orchestrator(config: Config, parts: Parts) -> AsyncIterator[Service]:
    """Admits jobs and carries out their runs."""
    bus, clock, log = parts.bus, parts.clock, parts.log
    agents = Agents()
    watch = AgentsWatch(agents, config, clock, log)
    await watch.load()
    index = JobIndex(bus)
    blobs = Blobs(bus.blobs.put, bus.blobs.get, config.step_inline_max_bytes)
    runs = Runs(parts, index, agents, blobs, config)
    admission = Admission(parts, index, agents, config)
    intake = Intake(parts, admission, index, config)
    handlers = Handlers(parts, admission, JobLookup(bus, index, blobs), index, config)
    most = config.requests_max
    yield Service(
        ORCHESTRATOR,
        [
            answer(JOB_SUBMIT, handlers.submit, in_flight_max=most),
            answer(JOB_GET, handlers.get, in_flight_max=most),
            answer(JOB_LIST, handlers.list_jobs, in_flight_max=most),
            answer(JOB_CANCEL, handlers.cancel, in_flight_max=most),
            answer(JOB_EVENTS, handlers.events, in_flight_max=most),
            answer(JOB_TOKENS, handlers.tokens, in_flight_max=most),
            answer(RUN_DELIVER, runs.deliver, in_flight_max=most, open_to_all=True, worker=runs.me),
            deposit(
                JOB_PUBLISH,
                JOB,
                slots=config.deposits_max,
                waiting_max_bytes=config.deposits_waiting_max_bytes,
                tenant_per_minute_max=config.deposits_tenant_per_minute_max,
            ),
            listen(APPROVAL_EVENT, APPROVAL_SINK, Answers(bus).heard),
            work(JOB, intake.take, slots=config.admissions_max, on_bad=intake.bad),
            work(RUN_INPUT, runs.take, slots=config.runs_active_max),
        ],
        background=[runs.keep_lease, runs.hand_over, watch.watch],
    )


def main() -> NoReturn:
    """The process."""
    run(orchestrator, Config, ORCHESTRATOR)
