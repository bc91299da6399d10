"""What the board makes of calls that say less than others."""

from penstock.kit.metrics import Metrics
from services.router.attempts.board import Board
from services.router.choosing.health import BreakerRules
from services.router.choosing.standing import UNSEEN, Standing
from tests.support.clock import HandClock
from tests.support.deployments import deployment

ONE = deployment("one")


class Scene:
    """A board, and calls that take as long as is said."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.board = Board(BreakerRules(), self.clock.monotonic, Metrics())

    def call(self, took_s: float, *, small: bool = False, streamed: bool = False) -> None:
        with self.board.calling(ONE, small=small) as call:
            self.clock.move(took_s)
            if streamed:
                self.board.first(call)

    @property
    def standing(self) -> Standing:
        return self.board.standings.get(ONE.id, UNSEEN)


def test_a_small_call_makes_nobody_look_quicker_only_slower() -> None:
    scene = Scene()
    scene.call(2.0)
    scene.call(0.1, small=True)
    assert scene.standing.whole.value_s == 2.0
    scene.call(3.0, small=True)
    assert round(scene.standing.whole.value_s, 6) == 3.0
    scene.call(1.0, streamed=True)
    scene.call(0.1, small=True, streamed=True)
    assert round(scene.standing.first.value_s, 6) == 1.0


def test_a_small_call_is_all_that_is_known_of_who_was_never_asked_or_not_for_long() -> None:
    scene = Scene()
    scene.call(0.5, small=True)
    assert scene.standing.whole.value_s == 0.5
    scene.call(8.0)
    scene.clock.move(300.0)
    scene.call(0.5, small=True)
    assert scene.standing.whole.value_s < 1.0


def test_a_call_that_nobody_was_asked_for_uses_up_no_request_of_the_minute() -> None:
    scene = Scene()
    with scene.board.calling(ONE, 0, 100) as call:
        scene.board.spent(call, 0, asked=False)
    assert scene.standing.used(scene.clock.monotonic()) == (0.0, 0.0)
    with scene.board.calling(ONE, 0, 100) as call:
        scene.board.spent(call, 40)
    assert scene.standing.used(scene.clock.monotonic()) == (1.0, 40.0)
