"""Screening against the corpus: recall and precision per entity stay above their bounds, and the page tells them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.guard import ENTITIES, INSTRUCTIONS
from tests.libs.guard.corpus.make import lines
from tests.libs.guard.corpus.measure import CORPUS, Score, corpus, scores, table

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "screening.md"
RECALL_MIN = 0.98
PRECISION_MIN = 0.97
SURE = ("CARD", "IBAN", "PRIVATE_KEY", "API_KEY", "TOKEN", "EMAIL", "SSN", "CPF", "CODICE_FISCALE", "NIR")


@pytest.fixture(scope="module")
def measured() -> Mapping[str, Score]:
    return scores()


def test_the_committed_corpus_is_what_its_script_makes() -> None:
    made = list(lines())
    assert [case.text for case in corpus()] == [line["text"] for line in made]
    assert len(CORPUS.read_text().splitlines()) == len(made)


@pytest.mark.parametrize("entity", sorted(ENTITIES - {INSTRUCTIONS}))
def test_recall_and_precision_stay_above_their_bounds(entity: str, measured: Mapping[str, Score]) -> None:
    score = measured[entity]
    assert score.usual >= 60
    assert score.recall >= RECALL_MIN
    assert score.precision >= PRECISION_MIN


@pytest.mark.parametrize("entity", SURE)
def test_what_checks_itself_is_never_missed_in_its_usual_forms(entity: str, measured: Mapping[str, Score]) -> None:
    assert measured[entity].recall == 1.0
    assert measured[entity].precision == 1.0


def test_the_page_tells_what_is_measured() -> None:
    assert table() in PAGE.read_text(), "python -m tests.libs.guard.corpus.measure"
