"""What comes next in a job: events by number, frames by step, try and sequence."""

from penstock.client.order import EventOrder, FrameOrder, woven
from penstock.contracts.jobs import JobEvent, TokenFrame


def test_events_are_taken_once_and_in_order() -> None:
    order = EventOrder()
    assert [order.take(_event(n)) for n in (0, 1, 1, 0, 2)] == ["next", "next", "old", "old", "next"]


def test_a_missing_event_is_a_gap_and_is_not_passed_over() -> None:
    order = EventOrder()
    assert [order.take(_event(n)) for n in (0, 2, 1, 2)] == ["next", "gap", "next", "next"]


def test_what_has_expired_is_passed_over_when_the_store_itself_says_so() -> None:
    order = EventOrder()
    assert order.take(_event(7), over_gap=True) == "next"
    assert order.take(_event(7), over_gap=True) == "old"
    assert order.take(_event(8)) == "next"


def test_reading_on_after_an_event_begins_with_the_next_one() -> None:
    order = EventOrder(after=4)
    assert [order.take(_event(n)) for n in (4, 5)] == ["old", "next"]


def test_frames_of_two_steps_are_counted_apart() -> None:
    order = FrameOrder()
    frames = [_frame("a", 0), _frame("b", 0), _frame("a", 1), _frame("b", 0)]
    assert [order.take(frame) for frame in frames] == ["next", "next", "next", "old"]


def test_a_higher_try_begins_the_step_anew_and_the_lower_one_is_old() -> None:
    order = FrameOrder()
    frames = [
        _frame("a", 0),
        _frame("a", 1),
        _frame("a", 0, try_number=1),
        _frame("a", 2),
        _frame("a", 1, try_number=1),
    ]
    assert [order.take(frame) for frame in frames] == ["next", "next", "next", "old", "next"]


def test_a_step_whose_beginning_was_missed_is_a_gap() -> None:
    order = FrameOrder()
    assert order.take(_frame("a", 3)) == "gap"
    assert order.after("a") == -1
    assert order.take(_frame("a", 3), over_gap=True) == "next"
    assert order.take(_frame("a", 4)) == "next"


def test_a_step_is_open_until_its_last_frame() -> None:
    order = FrameOrder()
    order.take(_frame("a", 0))
    assert order.open == ["a"]
    order.take(_frame("a", 1, last=True))
    assert order.open == []


def test_a_late_reader_sees_a_steps_text_before_the_event_that_ends_it() -> None:
    events = [_event(0), _event(1, "step", "a"), _event(2, "step", "b"), _event(3, "completed")]
    frames = [_frame("a", 0), _frame("b", 0), _frame("c", 0)]
    told = [item.n if isinstance(item, JobEvent) else item.step for item in woven(events, frames)]
    assert told == [0, "a", 1, "b", 2, "c", 3]


def _event(n: int, type: str = "accepted", step: str = "") -> JobEvent:
    return JobEvent(job="job_1", n=n, type=type, time=0.0, step=step)


def _frame(step: str, seq: int, *, try_number: int = 0, last: bool = False) -> TokenFrame:
    return TokenFrame(job="job_1", step=step, seq=seq, try_number=try_number, last=last)
