"""What nobody counted is guessed, and says so."""

from penstock.contracts.llm import Usage
from services.router.usage import guessed


def test_what_nobody_counted_is_flagged() -> None:
    assert guessed(100, 41) == Usage(uncached=100, output=11, estimated=True)
