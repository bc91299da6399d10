import pytest

from penstock.guard import chosen, redact


@pytest.mark.parametrize(
    ("entities", "left"),
    [("all", "[CARD]"), ("SSN", "[SSN] 4111 1111 1111 1111"), ("CARD", "123-45-[CARD]")],
)
def test_of_two_numbers_that_overlap_neither_leaves_digits_behind(entities: str, left: str) -> None:
    assert redact("123-45-6789 4111 1111 1111 1111", chosen([entities])).text == left
