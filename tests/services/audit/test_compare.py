import pytest

from services.audit.compare import differences

A, B, C, D, X = (bytes([letter]) * 32 for letter in b"ABCDX")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([A, B, C, D], []),
        ([A, X, C, D], ["record 11 changed"]),
        ([A, X, X, D], ["record 11 changed", "record 12 changed"]),
        ([A, C, D], ["record 11 was removed"]),
        ([A, D], ["records 11 to 12 were removed"]),
        ([A, B, C], ["record 13 was removed"]),
        ([], ["records 10 to 13 were removed"]),
        ([A, B, B, C, D], ["record 12 was doubled"]),
        ([A, B, X, C, D], ["record 12 was inserted"]),
        ([A, C, B, D], ["records 11 to 12 were put in another order"]),
        ([D, C, B, A], ["records 10 to 13 were put in another order"]),
        ([A, X], ["2 records removed between record 11 and record 13"]),
    ],
)
def test_a_difference_is_told_in_words(found: list[bytes], told: list[str]) -> None:
    assert differences(found, [A, B, C, D], 10) == told


def test_many_changed_records_are_counted() -> None:
    told = differences([X] * 9, [A] * 9, 0)
    assert told[-1] == "4 more records changed"
    assert len(told) == 6
