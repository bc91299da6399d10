"""What comes next: events by `n`, token frames by step, try and `seq`. Pure: repeats are dropped, gaps are seen."""

from dataclasses import dataclass
from typing import Literal

from penstock.contracts.jobs import FINAL, JobEvent, TokenFrame

FINAL_EVENTS = FINAL | {"refused"}
"""Event types after which nothing more happens in a job."""

Place = Literal["next", "old", "gap"]


class EventOrder:
    """`last` is the number of the last event taken."""

    def __init__(self, after: int = -1) -> None:
        self.last = after

    def take(self, event: JobEvent, *, over_gap: bool = False) -> Place:
        """Takes the event if it is the next one; with `over_gap` also a later one."""
        if event.n <= self.last:
            return "old"
        if event.n > self.last + 1 and not over_gap:
            return "gap"
        self.last = event.n
        return "next"


@dataclass
class _Step:
    try_number: int
    last: int = -1
    closed: bool = False


class FrameOrder:
    """Where each step of a job stands. A higher try of a step begins it anew."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}

    def after(self, step: str) -> int:
        """The last `seq` taken of this step, -1 for none."""
        known = self._steps.get(step)
        return known.last if known else -1

    @property
    def open(self) -> list[str]:
        """Steps that have begun and not ended."""
        return [name for name, step in self._steps.items() if not step.closed]

    def take(self, frame: TokenFrame, *, over_gap: bool = False) -> Place:
        """Takes the frame if it is the next one of its step; with `over_gap` also a later one."""
        step = self._steps.get(frame.step)
        if step is None or frame.try_number > step.try_number:
            step = _Step(frame.try_number)
            if frame.seq > 0 and not over_gap:
                return "gap"
            self._steps[frame.step] = step
        elif frame.try_number < step.try_number or frame.seq <= step.last:
            return "old"
        elif frame.seq > step.last + 1 and not over_gap:
            return "gap"
        step.last = frame.seq
        step.closed = frame.last
        return "next"


def woven(events: list[JobEvent], frames: list[TokenFrame]) -> list[JobEvent | TokenFrame]:
    """One sequence: a step's frames stand before the event that ends it, and whatever is left before a final event."""
    waiting = list(frames)
    result: list[JobEvent | TokenFrame] = []
    for event in events:
        if event.type in FINAL_EVENTS:
            result += waiting
            waiting = []
        elif event.type == "step":
            result += [frame for frame in waiting if frame.step == event.step]
            waiting = [frame for frame in waiting if frame.step != event.step]
        result.append(event)
    return result + waiting
