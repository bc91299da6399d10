"""Detectors that packages bring: found by their entry points, run in threads, under limits."""

import tomllib
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from threading import Event

import pytest

from penstock.guard import Detector, Finding, chosen, screen
from penstock.guard.detector import GROUP, UnknownDetector, installed
from penstock.guard.finding import resolved
from penstock.guard.presidio import Presidio
from penstock.kit.detecting import Detectors, NotDetected

PLUG_IN = """
from penstock.guard import Finding

class Codenames:
    entities = frozenset({"CODENAME"})

    def find(self, text):
        at = text.find("Bluebird")
        return [Finding(at, at + 8, "CODENAME")] if at >= 0 else []
"""


class Given:
    """Finds what it is told to, or raises it."""

    entities = frozenset({"PERSON"})

    def __init__(self, found: Sequence[Finding] = (), error: Exception | None = None) -> None:
        self.found = found
        self.error = error

    def find(self, text: str) -> Sequence[Finding]:
        if self.error is not None:
            raise self.error
        return self.found


class Stuck:
    entities = frozenset({"PERSON"})

    def __init__(self) -> None:
        self.released = Event()

    def find(self, text: str) -> Sequence[Finding]:
        self.released.wait(20)
        return []


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is really there, with entry points of its own."""
    (tmp_path / "codenames_plug_in.py").write_text(PLUG_IN)
    info = tmp_path / "codenames_plug_in-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: codenames-plug-in\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\ncodenames = codenames_plug_in:Codenames\nwrong = builtins:list")
    monkeypatch.syspath_prepend(tmp_path)


async def test_a_package_brings_a_detector_whose_findings_stand_beside_the_rules(plug_in: None) -> None:
    detectors = Detectors(installed(["codenames"]))
    text = "Bluebird is joe@example.com"
    found = resolved((*screen(text).spans, *await detectors.find(text)))
    detectors.close()
    assert found.spans == (Finding(0, 8, "CODENAME"), Finding(12, 27, "EMAIL"))
    assert chosen(["CODENAME"], detectors.entities) == {"CODENAME"}


@pytest.mark.parametrize("name", ["nobody", "wrong"])
def test_a_name_without_a_detector_is_refused(name: str, plug_in: None) -> None:
    with pytest.raises(UnknownDetector, match="codenames"):
        installed([name])


async def test_a_late_detector_is_given_up_and_then_nobody_waits_for_it() -> None:
    stuck = Stuck()
    detectors = Detectors([stuck], timeout_s=0.05, threads_max=1)
    with pytest.raises(NotDetected, match="longer than"):
        await detectors.find("text")
    with pytest.raises(NotDetected, match="busy"):
        await detectors.find("text")
    stuck.released.set()
    detectors.close()


@pytest.mark.parametrize(
    "detector",
    [
        Given(error=RuntimeError("joe@example.com")),
        Given([Finding(0, 99, "PERSON")]),
        Given([Finding(2, 2, "PERSON")]),
        Given([Finding(0, 1, "OTHER")]),
    ],
)
async def test_a_broken_detector_is_an_error_that_does_not_tell_the_text(detector: Detector) -> None:
    detectors = Detectors([detector])
    with pytest.raises(NotDetected) as caught:
        await detectors.find("text")
    detectors.close()
    assert "joe" not in str(caught.value)


async def test_a_text_above_the_limit_is_refused() -> None:
    detectors = Detectors([Given()], text_max_chars=3)
    assert await detectors.find("abc") == ()
    with pytest.raises(NotDetected, match="3 characters"):
        await detectors.find("abcd")
    detectors.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries that Presidio brings
async def test_presidio_finds_what_rules_do_not_and_without_a_model() -> None:
    points = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    made = EntryPoint("presidio", points["presidio"], GROUP).load()()
    assert isinstance(made, Presidio)
    detectors = Detectors([made], timeout_s=20)
    found = await detectors.find("His driver license is H12234567, mail joe@example.com")
    detectors.close()
    assert Finding(22, 31, "US_DRIVER_LICENSE") in found
    assert "EMAIL_ADDRESS" not in made.entities
