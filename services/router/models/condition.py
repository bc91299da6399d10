"""A condition over a request, in CEL (Common Expression Language), read once and judged often. Pure.

What cannot be evaluated for a request (a label that it does not have) does not hold for it.
"""

import re

from services.router.choosing.request import Need

CONDITION_MAX_CHARS = 4096
NAMES = frozenset(Need("chat").facts())
SAMPLES = (
    Need("chat"),
    Need(
        "embeddings",
        tools=True,
        tokens=1,
        schema=True,
        images=True,
        documents=True,
        audio=True,
        reasoning=True,
        streamed=True,
        surface="openai.chat",
        session="s",
        labels={"x": "y"},
        tenant="t",
        user="u",
        budget_left_usd=0.5,
    ),
)
"""Two requests that differ in everything: what is no condition for either is none."""
FUNCTIONS = frozenset(
    {
        "bool",
        "contains",
        "double",
        "endsWith",
        "has",
        "int",
        "matches",
        "max",
        "min",
        "size",
        "startsWith",
        "string",
        "uint",
    }
)
"""What an expression may call, besides operators and the macros over lists and maps."""
FAILS = (RuntimeError, LookupError, TypeError, ValueError, ArithmeticError)
"""What the library raises for a value that an expression cannot be evaluated with."""
_BOUND = r"\.(?:all|exists|exists_one|existsOne|map|filter)\(\s*{name}\s*,"


class BadCondition(ValueError):
    """Why a text is no condition, as the second half of a sentence."""


class Condition:
    """`constant`: True or False where no request can change it."""

    __slots__ = ("_names", "_program", "constant", "text")

    def __init__(self, text: str) -> None:
        """Raises BadCondition."""
        if not 0 < len(text) <= CONDITION_MAX_CHARS:
            raise BadCondition(f"must be 1 to {CONDITION_MAX_CHARS} characters")
        # a fifth of a second and 11 MiB, which only a file with conditions pays for
        import cel

        self.text = text
        try:
            self._program = cel.compile(text)
        except FAILS as error:
            raise BadCondition(f"is no CEL expression: {' '.join(str(error).split())[:200]}") from None
        self._names = tuple(name for name in self._program.variables() if name in NAMES)
        self._check_names()
        self._check_calls()
        self.constant = self._constant()
        if self.constant is None:
            self._check_answers()

    def looks_at(self, name: str) -> bool:
        """Whether this fact of a request matters to it."""
        return name in self._names

    def holds(self, facts: dict[str, object]) -> bool:
        """For a request's `Need.facts()`. Only what is asked for is handed over: that is most of the cost."""
        return self._answer({name: facts[name] for name in self._names}) is True

    def _answer(self, facts: dict[str, object]) -> object:
        try:
            answer: object = self._program.execute(facts)
        except FAILS:
            return None
        return answer

    def _check_names(self) -> None:
        for name in self._program.variables():
            if name not in NAMES and not re.search(_BOUND.format(name=re.escape(name)), self.text):
                raise BadCondition(f"asks for {name[:40]!r}, and there is only {', '.join(sorted(NAMES))}")

    def _check_calls(self) -> None:
        for name in self._program.functions():
            if name.isidentifier() and not name.startswith("_") and name not in FUNCTIONS:
                raise BadCondition(f"calls {name[:40]!r}, and there is only {', '.join(sorted(FUNCTIONS))}")

    def _constant(self) -> bool | None:
        """The answer without any fact: with CEL's `&&` and `||` one side may be enough."""
        answer = self._answer({})
        if answer is None:
            return None
        if not isinstance(answer, bool):
            raise BadCondition(f"is always {str(answer)[:40]!r}, which is neither true nor false")
        return answer

    def _check_answers(self) -> None:
        """A text that gives something else than true or false for every request is a mistake."""
        answers = [self._answer(sample.facts()) for sample in SAMPLES]
        if all(answer is not None and not isinstance(answer, bool) for answer in answers):
            raise BadCondition("gives something that is neither true nor false")
        if all(answer is None for answer in answers) and "labels" not in self._program.variables():
            raise BadCondition("can be evaluated for no request: are its types right?")
