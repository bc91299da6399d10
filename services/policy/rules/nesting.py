"""How deep Cedar text is nested. Pure.

Cedar's parser and validator recurse, and end the process when the stack is at its end (with 8 MiB, somewhere above
400 brackets or 1,000 operators in one policy). So what is deeper than any honest policy is never shown to them.
"""

import re

DEPTH_MAX = 50
OPERATORS_MAX = 200
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|//[^\n]*|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<end>;)'
    r"|(?P<operator>&&|\|\||[-+*.!<>@]|==|\b(?:if|has|in|like|is)\b)"
)


def too_deep(text: str, *, angles: bool = False) -> bool:
    """Whether some statement is nested too deep or too long; `angles` count as brackets in a schema."""
    depth = operators = 0
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "open" or (angles and token == "<"):
            depth += 1
            operators += 1
        elif kind == "close" or (angles and token == ">"):
            depth = max(0, depth - 1)
        elif kind == "operator":
            operators += 1
        elif kind == "end" and not angles:
            depth = operators = 0
        if depth > DEPTH_MAX or (operators > OPERATORS_MAX and not angles):
            return True
    return False
