"""How often somebody may be wrong."""

from services.policy.callout.guesses import Guesses

EVE = ("10.0.0.9", "k1")
BOB = ("10.0.0.7", "k1")


def test_who_was_wrong_too_often_is_shut_out_until_some_of_it_is_long_ago() -> None:
    guesses = Guesses(3, 60.0)
    for second in (0.0, 10.0, 20.0):
        assert not guesses.shut_out(EVE, second)
        guesses.wrong(EVE, second)
    assert guesses.shut_out(EVE, 21.0)
    assert guesses.shut_out(EVE, 59.9)
    assert not guesses.shut_out(EVE, 60.0)
    guesses.wrong(EVE, 61.0)
    assert guesses.shut_out(EVE, 61.0)


def test_another_host_with_the_same_key_is_not_shut_out() -> None:
    guesses = Guesses(1, 60.0)
    guesses.wrong(EVE, 0.0)
    assert guesses.shut_out(EVE, 1.0)
    assert not guesses.shut_out(BOB, 1.0)


def test_of_too_many_guessers_the_one_that_was_wrong_longest_ago_is_forgotten() -> None:
    guesses = Guesses(1, 60.0, guessers_max=2)
    for n in range(3):
        guesses.wrong((f"10.0.0.{n}", ""), float(n))
    assert [guesses.shut_out((f"10.0.0.{n}", ""), 3.0) for n in range(3)] == [False, True, True]
