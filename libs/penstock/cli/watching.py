"""Shows a job as it happens, and how it ended."""

import asyncio
import signal
from contextlib import aclosing

import msgspec

from penstock.cli.exits import Exit, of_failure, of_job
from penstock.cli.screen import Screen
from penstock.client import FINAL_EVENTS, Penstock
from penstock.contracts.errors import Failure
from penstock.contracts.jobs import JobEvent, JobView, TokenFrame

NANO = 1_000_000_000


class _Text(msgspec.Struct):
    text: str


class Watching:
    """`quiet`: the model's output and the end, without the events between."""

    def __init__(self, screen: Screen, *, quiet: bool = False, tokens: bool = True) -> None:
        self._screen = screen
        self._quiet = quiet
        self._tokens = tokens
        self._shown: dict[str, int] = {}
        self.spoke = False

    async def watch(self, plane: Penstock, id: str, *, after: int = -1, appears_within_s: float = 30.0) -> Exit:
        """Until the job is over; shows its end and gives the status for it."""
        refused: JobEvent | None = None
        followed = plane.follow(id, after=after, tokens=self._tokens, appears_within_s=appears_within_s)
        async with aclosing(followed) as items:
            while True:
                try:
                    with self._screen.working(f"{id}: waiting"):
                        item = await anext(items)
                except StopAsyncIteration:
                    break
                self._show(item)
                if isinstance(item, JobEvent) and item.type == "refused":
                    refused = item
        if refused is not None and refused.error is not None:
            failure = Failure.of(refused.error)
            self._screen.problem(failure)
            return of_failure(failure)
        view = await plane.get(id)
        show_end(self._screen, view, with_output=not self.spoke)
        return of_job(view)

    async def watch_politely(self, plane: Penstock, id: str) -> Exit:
        """The same for a job of our own: ^C cancels it and waits for its end; a second ^C does not wait."""
        loop = asyncio.get_running_loop()
        watching = asyncio.create_task(self.watch(plane, id))
        loop.add_signal_handler(signal.SIGINT, watching.cancel)
        try:
            await asyncio.wait({watching})
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            watching.cancel()
        if not watching.cancelled():
            return watching.result()
        self._screen.note(f"cancelling {id} (^C again to leave it)")
        await plane.cancel(id)
        view = await plane.wait(id, timeout_s=30)
        show_end(self._screen, view, with_output=False)
        return of_job(view)

    def _show(self, item: JobEvent | TokenFrame) -> None:
        if isinstance(item, TokenFrame):
            self._screen.data({"token": item})
            self._show_text(item)
            return
        self._screen.data({"event": item})
        if not self._quiet and item.type not in FINAL_EVENTS:
            self._screen.note(event_line(item))

    def _show_text(self, frame: TokenFrame) -> None:
        if frame.try_number > self._shown.get(frame.step, frame.try_number):
            self._screen.note("the model begins again")
        self._shown[frame.step] = frame.try_number
        self.spoke = self.spoke or bool(frame.text)
        self._screen.stream(frame.text)
        if frame.last:
            self._screen.end_line()


def event_line(event: JobEvent) -> str:
    """One event for people."""
    parts = [event.type, event.name, event.step if event.step != event.name else "", event.detail]
    if event.error is not None:
        parts.append(f"{event.error.code}: {event.error.detail}")
    if event.approval:
        parts.append(f"approval {event.approval}")
    if event.usage.total:
        parts.append(f"{event.usage.input} + {event.usage.output} tokens")
    if event.cost_nano:
        parts.append(dollars(event.cost_nano))
    return "  ".join(part for part in parts if part)


def show_end(screen: Screen, job: JobView, *, with_output: bool) -> None:
    """How a job ended: its output if it was not streamed, what it used, and why it failed."""
    screen.data({"job": job})
    screen.end_line()
    if with_output and job.output:
        screen.say(output_text(job.output))
    used = f"{job.usage.input} + {job.usage.output} tokens, {dollars(job.cost_nano)}"
    if job.error is None:
        screen.note(f"{job.state}: {job.id}, {job.steps} steps, {used}")
        return
    screen.wrong(f"{job.state}: {job.error.code}: {job.error.detail}")
    for reason in job.error.reasons:
        if reason not in job.error.detail:
            screen.note(f"  {reason}")
    screen.note(f"{job.id}, {job.steps} steps, {used}")


def output_text(output: msgspec.Raw) -> str:
    """The text of an answer; anything else as JSON."""
    try:
        return msgspec.json.decode(output, type=_Text).text
    except msgspec.MsgspecError:
        return msgspec.json.format(bytes(output), indent=2).decode()


def dollars(nano: int) -> str:
    """Nano-dollars for people."""
    return f"${nano / NANO:.6f}".rstrip("0").rstrip(".") if nano else "$0"
