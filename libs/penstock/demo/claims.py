"""Claims of the demonstration: said, checked, remembered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from rich.markup import escape
from rich.table import Table

from penstock.cli.screen import Screen


class Claim(msgspec.Struct, frozen=True):
    """`shown`: what was found, in a few words."""

    scene: str
    claim: str
    holds: bool
    shown: str = ""


@dataclass
class Claims:
    """In order. A scene that breaks off is itself a claim that does not hold."""

    screen: Screen
    all: list[Claim] = field(default_factory=list)
    _scene: str = ""

    def scene(self, letter: str, title: str) -> None:
        """The next scene begins."""
        self._scene = letter
        if not self.screen.json:
            self.screen.end_line()
            self.screen.out.print()
            self.screen.out.print(f"[bold cyan]({letter}) {escape(title)}[/bold cyan]")

    def tell(self, text: str) -> None:
        """What is going on, in plain words."""
        self.screen.say(text)

    def check(self, claim: str, holds: bool, shown: str = "") -> bool:
        """Remembers it and says it."""
        self.all.append(Claim(self._scene, claim, holds, shown))
        self.screen.data(self.all[-1])
        mark = "[green]✓[/green]" if holds else "[bold red]✗[/bold red]"
        if not self.screen.json:
            self.screen.end_line()
            self.screen.out.print(f"  {mark} {escape(claim)}" + (f"  [dim]{escape(shown)}[/dim]" if shown else ""))
        return holds

    @property
    def hold(self) -> bool:
        """Whether there are claims and every one holds."""
        return bool(self.all) and all(claim.holds for claim in self.all)

    def summary(self, took_s: float) -> None:
        """The table at the end."""
        table = Table(title="What was shown, and checked from outside", title_justify="left", box=None, pad_edge=False)
        for column in ("", "claim", "found", ""):
            table.add_column(column, overflow="fold")
        for claim in self.all:
            mark = "[green]yes[/green]" if claim.holds else "[bold red]NO[/bold red]"
            table.add_row(f"({claim.scene})", escape(claim.claim), f"[dim]{escape(claim.shown)}[/dim]", mark)
        good = sum(claim.holds for claim in self.all)
        if not self.screen.json:
            self.screen.out.print()
            self.screen.out.print(table)
        self.screen.say(f"\n{good} of {len(self.all)} hold, in {took_s:.0f} s", "green" if self.hold else "bold red")
        self.screen.data({"holds": self.hold, "claims": len(self.all), "good": good, "took_s": round(took_s, 1)})


@contextmanager
def breaking_off(claims: Claims, kinds: tuple[type[Exception], ...]) -> Iterator[None]:
    """A scene in which one of these is raised has not shown what it was to show; the story goes on."""
    try:
        yield
    except kinds as error:
        claims.check("the scene came to its end", False, f"{type(error).__name__}: {error}")
