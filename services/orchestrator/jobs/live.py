"""Model output as it comes: frames on the job's token subject, for whoever looks on. Nothing depends on them."""

import contextlib

from penstock.bus import Bus
from penstock.contracts.errors import Failure
from penstock.contracts.jobs import TokenFrame
from penstock.contracts.subjects import JOB_TOKEN


class Frames:
    """The frames of one try at one step, numbered from 0."""

    def __init__(self, bus: Bus, tenant: str, job: str, step: str, try_number: int) -> None:
        self._bus = bus
        self._tenant = tenant
        self._job = job
        self._step = step
        self._try_number = try_number
        self._seq = 0

    def say(self, text: str) -> None:
        """Shows `text`, if there is any."""
        if text:
            self._publish(text, last=False)

    def close(self) -> None:
        """The step's answer is whole."""
        self._publish("", last=True)

    def _publish(self, text: str, *, last: bool) -> None:
        frame = TokenFrame(self._job, self._step, self._seq, text, self._try_number, last)
        self._seq += 1
        # while the broker is away nobody looks on: the whole answer stands in the job's output
        with contextlib.suppress(Failure):
            self._bus.emit_live(JOB_TOKEN, frame, tenant=self._tenant, job=self._job)
