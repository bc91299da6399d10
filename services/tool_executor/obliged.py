"""What a permit's obligations make of one tool call: its arguments before it, its bounds, its result after it. Pure."""

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from penstock.contracts.tools import ToolResult
from penstock.kit.json_text import Edit, edited, edited_text
from penstock.kit.obligations import TRANSFORMS, Obligations
from penstock.kit.transform import Transform
from services.tool_executor.check import Arguments
from services.tool_executor.runner import Bounds

HONOURED = TRANSFORMS | {"set"}
"""What is done here for a tool of any kind; the rest is its runner's."""
OF_ROWS = frozenset({"filter", "read_only", "max_rows"})
"""What some runner honours. Whether the one at hand does is told when it is called."""


class Obliged:
    """One call. `applied`: what was done and how often."""

    def __init__(self, obligations: Obligations) -> None:
        """Raises Failure(DENIED) for something that cannot be looked for."""
        self._obligations = obligations
        self._transform = Transform(obligations)
        self._done: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._obligations)

    @property
    def bounds(self) -> Bounds:
        asked = self._obligations
        return Bounds(asked.filters, asked.read_only, asked.max_rows)

    @property
    def mark(self) -> str:
        """Tells calls apart that have the same arguments and may have another effect or another result."""
        asked = self._obligations
        telling = [text for text in asked.texts if text.partition(":")[0] in ("filter", "max_rows", "set")]
        return hashlib.sha256("\n".join(telling).encode()).hexdigest()[:16] if telling else ""

    @property
    def applied(self) -> Mapping[str, int]:
        return {**self._transform.counts, **self._done}

    def arguments(self, arguments: Mapping[str, object]) -> Arguments:
        """Those that go out; they must be checked anew."""
        changed = edited(dict(arguments), self._transform.outward, open_=True)
        found: Arguments = changed if isinstance(changed, dict) else {}
        for name, value in self._obligations.sets.items():
            found = {**found, name: msgspec.json.decode(value)}
            self._done[f"set:{name}"] = 1
        return found

    def bound(self) -> None:
        """The call was prepared within its bounds."""
        asked = self._obligations
        for one in asked.filters:
            self._done[f"filter:{one.table}"] = self._done.get(f"filter:{one.table}", 0) + 1
        if asked.read_only:
            self._done["read_only"] = 1
        if asked.max_rows:
            self._done["max_rows"] = 1

    def result(self, result: ToolResult) -> ToolResult:
        """What the caller may see of it."""
        if not self._transform.inward_needed:
            return result
        edit = edited_text if result.media_type.endswith("json") else _edited
        return replace(result, content=edit(result.content, self._transform.inward))


def _edited(text: str, edit: Edit) -> str:
    return edit(text)
