"""What callers are told of who served them: never more than headers may hold, never what may not stand in one."""

from penstock.contracts.llm import Loss, Served, Usage
from services.gateway import served


def test_what_is_not_there_is_not_said() -> None:
    assert served.known(Served("att_1", "first", "m")) == {
        "x-penstock-attempt": "att_1",
        "x-penstock-deployment": "first",
    }
    assert served.used(Served("att_1", "first", "m", Usage(1, output=2), cost_nano=-1)) == {"x-penstock-tokens": "3"}


def test_a_header_cannot_be_ended_by_what_it_says() -> None:
    told = Served("att_1", "first\r\nset-cookie: a=b", "m", reason="é\x00", losses=(Loss('a"\r\n\\', "x\ny"),))
    assert served.known(told) == {
        "x-penstock-attempt": "att_1",
        "x-penstock-deployment": "first??set-cookie: a=b",
        "x-penstock-reason": "??",
        "x-penstock-losses": '"a\\"??\\\\";what="x?y"',
    }


def test_losses_that_do_not_fit_are_counted() -> None:
    said = served.losses(tuple(Loss(f"messages.{n}.name", "x" * 100) for n in range(200)))
    assert len(said) < 4200
    assert said.endswith(f'"";more={200 - said.count("what=")}')


def test_times_are_told_by_component_and_names_that_are_no_tokens_are_left_out() -> None:
    told = Served("att_1", "first", "m", upstream_ms=10.0, overhead_ms={"routing": 1.0, 'x"\n': 5.0})
    assert served.timing(told, 12.5) == {
        "server-timing": "total;dur=12.50, upstream;dur=10.00, routing;dur=1.00, edge;dur=1.50"
    }
    # the clocks of two processes are not one
    assert served.timing(told, 1.0)["server-timing"].endswith("edge;dur=0.00")


def test_a_comment_is_lines_that_begin_with_a_colon() -> None:
    assert served.comment({"a": "1", "b": "2"}) == b": a: 1\n: b: 2\n\n"
