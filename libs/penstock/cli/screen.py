"""What a command shows: text for people, or JSON lines on standard output and nothing else there."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from penstock.contracts.errors import Failure

Cell = str | int | float
PIPED_WIDTH = 240


class Screen:
    """Results go to standard output, notes and progress to standard error. With `json` a result is one line of JSON."""

    def __init__(self, json: bool) -> None:
        self.json = json
        self.out = Console(highlight=False)
        self.err = Console(stderr=True, highlight=False)
        if not self.out.is_terminal:
            self.out = Console(highlight=False, width=PIPED_WIDTH)  # a pipe has no edge to wrap at
        self._in_line = False

    def data(self, value: object) -> None:
        """A result for programs; nothing for people."""
        if self.json:
            sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
            sys.stdout.flush()

    def say(self, text: str, style: str = "") -> None:
        """A line for people, on standard output."""
        if not self.json:
            self.end_line()
            self.out.print(escape(text), style=style, soft_wrap=True)

    def note(self, text: str, style: str = "dim") -> None:
        """A line beside the result, on standard error; not with JSON."""
        if not self.json:
            self.end_line()
            self.err.print(escape(text), style=style, soft_wrap=True)

    def stream(self, text: str) -> None:
        """A piece of a model's output, as it comes."""
        if text and not self.json:
            sys.stdout.write(_printable(text))
            sys.stdout.flush()
            self._in_line = not text.endswith("\n")

    def end_line(self) -> None:
        """Ends a line of streamed text."""
        if self._in_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._in_line = False

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]], title: str = "") -> None:
        """For people only."""
        if self.json:
            return
        self.end_line()
        table = Table(title=title or None, box=None, pad_edge=False, header_style="bold", title_justify="left")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        self.out.print(table)

    def problem(self, failure: Failure) -> None:
        """Why the command did not do its work: JSON on standard output, text on standard error."""
        self.data({"error": failure.body()})
        self.wrong(f"{failure.code}: {failure.detail}" if failure.detail else str(failure.code))
        for reason in failure.reasons:
            if reason not in failure.detail:
                self.note(f"  {reason}")
        if failure.decision and not self.json:
            self.note(f"  decision {failure.decision}")
        if failure.approval and not self.json:
            self.note(f"  approval {failure.approval}: penstock approvals show {failure.approval} --follow")

    def wrong(self, text: str) -> None:
        """A sentence about what is wrong, on standard error; not with JSON, which has said it as data."""
        if not self.json:
            self.end_line()
            self.err.print(escape(text), style="red", soft_wrap=True)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Shows that something is under way, where a person looks on."""
        if self.json or self._in_line or not self.err.is_terminal:
            yield
            return
        with self.err.status(escape(text)):
            yield


def _printable(text: str) -> str:
    """A model's text without what moves the cursor or sets colours."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
