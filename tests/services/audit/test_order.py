import pytest

from services.audit.leaf import Leaf
from services.audit.order import Order


def problems(*places: tuple[int, int, int]) -> list[str]:
    order = Order()
    told = [
        order.add(index, Leaf(1, sequence, position, of, 0, "acme", "policy", record_sha256="00"))
        for index, (sequence, position, of) in enumerate(places)
    ]
    return [problem for problem in (*told, order.end(len(places))) if problem]


def test_whole_messages_one_after_the_other_are_right() -> None:
    assert problems((5, 0, 1), (6, 0, 2), (6, 1, 2), (7, 0, 1)) == []
    assert problems() == []


@pytest.mark.parametrize(
    ("places", "told"),
    [
        (((5, 0, 1), (7, 0, 1)), "record 1 (message 7, 1 of 1): the messages 6 to 6 of the stream are missing"),
        (((5, 0, 1), (5, 0, 1)), "record 1 (message 5, 1 of 1): it stands here twice"),
        (((5, 0, 1), (4, 0, 1)), "record 1 (message 4, 1 of 1): it comes after message 5"),
        (((5, 0, 3), (5, 2, 3)), "record 1 (message 5, 3 of 3): records before it are missing"),
        (((5, 1, 2),), "record 0 (message 5, 2 of 2): records before it are missing"),
        (((5, 0, 2), (6, 0, 1)), "record 1 (message 6, 1 of 1): records 2 to 2 of message 5 are missing"),
        (((5, 0, 2),), "after record 0: records 2 to 2 of message 5 are missing"),
        (((5, 3, 2),), "record 0 (message 5, 4 of 2): it is no place in a message"),
    ],
)
def test_a_gap_a_double_and_a_wrong_order_are_named(places: tuple[tuple[int, int, int], ...], told: str) -> None:
    assert problems(*places) == [told]
