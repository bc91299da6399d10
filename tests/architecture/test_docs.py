"""Documents that are made from code are up to date, and those that are not name what exists."""

import re
from pathlib import Path

import pytest

from docs.make_reference import PAGES
from penstock.contracts.services import SERVICES
from penstock.contracts.subjects import ENDPOINTS

ROOT = Path(__file__).parents[2]
FORBIDDEN = re.compile(r"(^|[^.\w])/(home|root|Users)/|production-ready", re.IGNORECASE)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_reference_page_is_what_the_code_makes(name: str) -> None:
    page = (ROOT / "docs" / "reference" / name).read_text()
    assert page == PAGES[name](), "run `make docs`"


def test_the_readme_lists_every_service() -> None:
    text = (ROOT / "README.md").read_text()
    for name in SERVICES:
        assert f"`{name}`" in text


def test_the_architecture_page_names_every_subject_family() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    families = set()
    for endpoint in ENDPOINTS.values():
        subject = getattr(endpoint, "subject", None)
        if subject is not None:
            families.add(subject.pattern.split(".{", 1)[0].rsplit(".", 1)[0] if "{" not in subject.pattern else "")
    for family in families - {""}:
        assert family in text, family


def test_every_path_named_in_the_code_map_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for path in re.findall(r"`((?:libs|services|tests|deploy|docs|examples)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


def test_every_decision_record_has_the_same_parts() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert records
    for record in records:
        text = record.read_text()
        for part in ("## Context", "## Decision", "## Consequences"):
            assert part in text, f"{record.name} lacks {part}"


def test_no_document_names_a_machine_or_promises_too_much() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        assert not FORBIDDEN.search(page.read_text()), page.name
