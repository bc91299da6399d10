"""The breaker under any course of calls: a machine that knows what really happened checks it after each step."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.router.choosing import health
from services.router.choosing.health import WELL, BreakerRules
from services.router.fault import FaultKind

RULES = BreakerRules(failures_max=3, rest_s=10.0, rest_max_s=60.0, key_rest_s=30.0, rate_rest_s=1.0)
TRIPPING = st.sampled_from([FaultKind.TRANSIENT, FaultKind.TIMEOUT, FaultKind.GARBAGE])
HARMLESS = st.sampled_from([FaultKind.CALLER, FaultKind.CONTEXT, FaultKind.MISSING, FaultKind.UNFIT])


class Breaking(RuleBasedStateMachine):
    """Calls begin when the breaker lets them, and end in any order; `under_way` says which is the trial."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = WELL
        self.now = 1000.0
        self.under_way: list[bool] = []
        self.rested_until = 0.0

    @rule(seconds=st.floats(0.1, 70.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_call_begins(self) -> None:
        if health.resting(self.breaker, self.now):
            return
        before = self.breaker
        self.breaker = health.started(before)
        self.under_way.append(self.breaker.trial and not before.trial)

    def _end(self, place: int) -> bool:
        return self.under_way.pop(place % len(self.under_way))

    @rule(place=st.integers(0, 20))
    def a_call_goes_well(self, place: int) -> None:
        if self.under_way:
            trial = self._end(place)
            before = self.breaker
            self.breaker = health.succeeded(before, self.now, trial=trial)
            if before.resting_until > self.now:
                assert self.breaker is before
            if trial and before.resting_until <= self.now:
                assert self.breaker == WELL

    @rule(place=st.integers(0, 20), kind=TRIPPING)
    def a_call_fails(self, place: int, kind: FaultKind) -> None:
        if self.under_way:
            trial = self._end(place)
            self.breaker = health.failed(self.breaker, kind, self.now, 0.0, RULES, trial=trial)
            if trial:
                assert health.resting(self.breaker, self.now)

    @rule(place=st.integers(0, 20), kind=st.sampled_from([FaultKind.KEY, FaultKind.RATE]), asked=st.floats(0, 100))
    def a_key_is_refused_or_limited(self, place: int, kind: FaultKind, asked: float) -> None:
        if self.under_way:
            trial = self._end(place)
            before = self.breaker
            self.breaker = health.failed(before, kind, self.now, asked, RULES, trial=trial)
            assert self.breaker.resting_until >= before.resting_until
            assert health.resting(self.breaker, self.now)

    @rule(place=st.integers(0, 20), kind=HARMLESS)
    def the_caller_was_at_fault(self, place: int, kind: FaultKind) -> None:
        if self.under_way:
            trial = self._end(place)
            before = self.breaker
            self.breaker = health.failed(before, kind, self.now, 0.0, RULES, trial=trial)
            assert self.breaker.resting_until == before.resting_until
            assert self.breaker.failures == before.failures

    @rule(place=st.integers(0, 20))
    def a_caller_leaves(self, place: int) -> None:
        if self.under_way:
            trial = self._end(place)
            self.breaker = health.abandoned(self.breaker, trial=trial)

    @rule(left=st.floats(1, 100))
    def another_router_opens_it(self, left: float) -> None:
        before = self.breaker
        self.breaker = health.heard(before, FaultKind.TRANSIENT, self.now, self.now + left)
        assert self.breaker.resting_until >= before.resting_until

    @invariant()
    def at_most_one_call_is_a_trial_and_the_breaker_knows(self) -> None:
        assert sum(self.under_way) <= 1
        assert self.breaker.trial is (sum(self.under_way) == 1)

    @invariant()
    def a_rest_that_has_begun_is_never_made_shorter(self) -> None:
        if self.rested_until > self.now:
            assert self.breaker.resting_until >= self.rested_until
        self.rested_until = self.breaker.resting_until

    @invariant()
    def no_rest_is_longer_than_the_longest(self) -> None:
        assert self.breaker.resting_until - self.now <= 100.0

    @invariant()
    def three_failures_in_a_row_rest(self) -> None:
        if self.breaker.failures >= RULES.failures_max:
            assert self.breaker.resting_until > 0


Breaking.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestBreaker = Breaking.TestCase
