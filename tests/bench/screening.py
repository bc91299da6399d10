"""What screening costs: python -m tests.bench.screening

Method. In one process, without any I/O: CPU time (process_time) of `screen` for texts of 5,000 characters, the least of
seven rounds of as many calls as take about 50 ms. `clean` is English prose with dates, amounts and names; `typographic`
the same with curly quotes and dashes; `code` a page of Python; `chinese` prose; `dense` repeats a support ticket with
about one finding for every 40 characters; `digits` is nothing but groups of digits, the worst for the rules of numbers.
`stream` is the dense text through a StreamScreen in frames of four characters, per frame; `large` a clean text of 1 MB,
per 5,000 characters.
"""

import time
from collections.abc import Callable
from functools import partial

from penstock.guard import StreamScreen, chosen, screen

SIZE = 5000
ROUNDS = 7
ROUND_S = 0.05
PROSE = (
    "On 2024-05-17 the committee met for the third time and agreed, after some debate, that $1,234.56 had been paid "
    "for 3 of the items in section 4.2 (page 12); nobody could say why. "
)
TICKET = (
    "Joe Bloggs <joe.bloggs@example.com> called from (415) 555-2671 about card 4111 1111 1111 1111, exp 12/27. "
    "He would like his money back at once, to IBAN DE89 3704 0044 0532 0130 00, ssn 536-22-1234; it came from "
    "host 192.168.7.21, mac 00:1a:2b:3c:4d:5e, where somebody had left "
    'password = "hunter2!x9", key AKIAIOSFODNN7EXAMPLE. '
)
CODE = 'def total(rows: list[int]) -> int:\n    """Sum."""\n    return sum(row * 2 for row in rows if row > 10)\n\n'
CHINESE = "委员会第三次开会，经过一番讨论后同意：为第四节第二项支付一千二百元；没有人能说明原因。"  # noqa: RUF001


def filled(piece: str, size: int = SIZE) -> str:
    return (piece * (size // len(piece) + 1))[:size]


TEXTS = {
    "clean": filled(PROSE),
    "typographic": filled(PROSE.replace("(", "“").replace(")", "”").replace("; ", " — ")),
    "code": filled(CODE),
    "chinese": filled(CHINESE),
    "dense": filled(TICKET),
    "digits": filled("4417 1234 5678 9113 "),
    "single digits": filled("1 2 3 "),
}


def least_us(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    repeats = max(1, int(ROUND_S / max(time.process_time() - began, 1e-6)))
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(repeats):
            action()
        best = min(best, (time.process_time() - began) / repeats)
    return best * 1e6


def stream(text: str) -> None:
    screened = StreamScreen(chosen(["all"]))
    for start in range(0, len(text), 4):
        screened.feed(text[start : start + 4])
    screened.flush()


def main() -> None:
    """Prints microseconds."""
    for name, text in TEXTS.items():
        print(f"{name:14}{least_us(partial(screen, text)):10.1f} us{len(screen(text).spans):6} findings")  # noqa: T201
    dense, clean = TEXTS["dense"], TEXTS["clean"]
    for name, text in (("dense", dense), ("clean", clean)):
        per_frame = least_us(partial(stream, text)) / (SIZE / 4)
        print(f"stream, {name:6}{per_frame:10.1f} us per frame of 4")  # noqa: T201
    large = filled(PROSE, 1_000_000)
    print(f"{'large':14}{least_us(partial(screen, large)) * SIZE / len(large):10.1f} us per 5,000 characters")  # noqa: T201


if __name__ == "__main__":
    main()
