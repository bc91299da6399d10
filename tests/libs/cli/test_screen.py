"""What stands on which output, and that a model's text cannot steer the terminal."""

import pytest

from penstock.cli.screen import Screen
from penstock.cli.watching import show_end
from penstock.contracts.errors import Code, Failure, FailureBody
from penstock.contracts.jobs import JobView


def test_results_and_notes_go_to_different_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(json=False)
    screen.say("result [not markup]")
    screen.note("note")
    captured = capsys.readouterr()
    assert captured.out == "result [not markup]\n"
    assert captured.err == "note\n"


def test_with_json_only_values_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(json=True)
    screen.say("result")
    screen.note("note")
    screen.stream("text")
    screen.table(("a",), [("b",)])
    screen.problem(Failure(Code.DENIED, "no"))
    captured = capsys.readouterr()
    assert captured.out == '{"error":{"code":"denied","detail":"no"}}\n'
    assert captured.err == ""


def test_streamed_text_is_shown_without_what_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(json=False)
    screen.stream("a\x1b[2Jb\r\n\tc")
    screen.say("end")
    assert capsys.readouterr().out == "a�[2Jb�\n\tc\nend\n"


def test_a_refusal_shows_its_reasons_and_its_decision(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(json=False).problem(Failure(Code.DENIED, "no", reasons=("because",), decision="dec_1"))
    assert capsys.readouterr().err == "denied: no\n  because\n  decision dec_1\n"


def test_a_job_that_was_refused_says_each_reason_once(capsys: pytest.CaptureFixture[str]) -> None:
    error = FailureBody("denied", "no writing", reasons=("no writing", "a policy of ours"))
    show_end(Screen(json=False), JobView("job_1", "chat", "denied", 1.0, 2.0, error=error), with_output=True)
    shown = capsys.readouterr().err
    assert shown == "denied: denied: no writing\n  a policy of ours\njob_1, 0 steps, 0 + 0 tokens, $0\n"
