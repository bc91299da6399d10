"""A tool's own facts: CEL expressions over its arguments, read with the tools file. Pure.

`facts: {amount: "args.total"}` tells policy `amount`. Where a fact cannot be told the call is not made: a policy that
asks for it must not be passed by arguments which it cannot be worked out of.
"""

import re
from collections.abc import Mapping

from penstock.contracts.policy import Fact
from services.tool_executor.check import BadArguments
from services.tool_executor.toolsfile import BadToolsFile

FACTS_MAX = 16
EXPRESSION_MAX_CHARACTERS = 1024
ITEMS_MAX = 256
TEXT_MAX = 2048
OURS = frozenset(
    [
        "agent",
        "budget_left_nano",
        "chain",
        "columns",
        "cost_nano",
        "depth",
        "hidden_text",
        "hosts",
        "hour",
        "input",
        "method",
        "methods",
        "minute_rate",
        "path",
        "paths",
        "personal",
        "run",
        "secrets",
        "statements",
        "tables",
        "tables_read",
        "tables_written",
        "taint",
        "tainted",
        "tokens",
        "wanted_agent",
        "wanted_model",
        "wanted_tool",
        "weekday",
        "writes",
    ]
)
"""What the plane tells itself: a tools file may not say otherwise."""
_FUNCTIONS = frozenset(
    [
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
        "all",
        "exists",
        "exists_one",
        "existsOne",
        "map",
        "filter",
    ]
)
_FAILS = (RuntimeError, LookupError, TypeError, ValueError, ArithmeticError)
"""What the library raises for a value that an expression cannot be evaluated with."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_BOUND = r"\.(?:all|exists|exists_one|existsOne|map|filter)\(\s*{name}\s*,"


class FactMapping:
    """The mapping of one tool."""

    def __init__(self, expressions: Mapping[str, str]) -> None:
        """Raises BadToolsFile."""
        if len(expressions) > FACTS_MAX:
            raise BadToolsFile(f"it has {len(expressions)} facts; at most {FACTS_MAX} are allowed")
        for name in expressions:
            if not _NAME.match(name):
                raise BadToolsFile(f"fact {name!r}: a name has 1 to 64 of a-z 0-9 and _, and begins with a letter")
            if name in OURS:
                raise BadToolsFile(f"fact {name!r} is told by the plane itself; choose another name")
        self._programs = {name: _Program(name, text) for name, text in expressions.items()}

    def told(self, arguments: Mapping[str, object]) -> dict[str, Fact]:
        """The facts of a call. Raises BadArguments for arguments that one cannot be told of."""
        return {name: program.fact(arguments) for name, program in self._programs.items()}


class _Program:
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        if not 0 < len(text) <= EXPRESSION_MAX_CHARACTERS:
            raise BadToolsFile(f"fact {name!r}: an expression has 1 to {EXPRESSION_MAX_CHARACTERS} characters")
        # a fifth of a second and 11 MiB, which only a file with facts pays for
        import cel

        try:
            self._program = cel.compile(text)
        except _FAILS as error:
            raise BadToolsFile(f"fact {name!r} is no CEL expression: {' '.join(str(error).split())[:200]}") from None
        for variable in self._program.variables():
            if variable != "args" and not re.search(_BOUND.format(name=re.escape(variable)), text):
                raise BadToolsFile(f"fact {name!r} asks for {variable[:40]!r}; the arguments are args.<name>")
        for function in self._program.functions():
            if function.isidentifier() and not function.startswith("_") and function not in _FUNCTIONS:
                raise BadToolsFile(f"fact {name!r} calls {function[:40]!r}, which there is not")

    def fact(self, arguments: Mapping[str, object]) -> Fact:
        try:
            value: object = self._program.execute({"args": dict(arguments)})
        except _FAILS:
            raise self._bad() from None
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= TEXT_MAX):
            return value
        if isinstance(value, list) and len(value) <= ITEMS_MAX:
            texts = [item for item in value if isinstance(item, str) and len(item) <= TEXT_MAX]
            if len(texts) == len(value):
                return texts
        raise self._bad()

    def _bad(self) -> BadArguments:
        return BadArguments(f"the fact {self._name} that policy wants cannot be told of these arguments")
