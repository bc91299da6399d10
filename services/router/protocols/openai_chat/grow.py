"""One choice of an answer as it grows, put together from deltas. A whole message is one large delta. Pure."""

import msgspec

from penstock.contracts.llm import OPENAI_CHAT
from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import Begun, Ended, Finished, Grown, Piece
from services.router.protocols.openai_chat.delta import Called, calls, others, words
from services.router.protocols.openai_chat.fields import is_list
from services.router.protocols.openai_chat.finish import read_finish
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall


class _Call:
    """A call under way. It begins for the reader once its name is known. `number` is -1 until then."""

    __slots__ = ("arguments", "custom", "id", "index", "name", "number", "order", "signature")

    def __init__(self, order: int, index: int | None, id: str) -> None:
        self.order = order
        self.index = index
        self.id = id
        self.name = ""
        self.arguments = ""
        self.signature = ""
        self.custom = False
        self.number = -1


class Growing:
    """`number` of the choice. `base`: of the ids that are made for calls that came without one. Words end when
    something else begins, calls with the choice, since their pieces may come in turns."""

    __slots__ = (
        "_base",
        "_by_id",
        "_by_index",
        "_calls",
        "_next",
        "_number",
        "_others",
        "_taken",
        "_word",
        "_word_number",
        "finish",
    )

    def __init__(self, number: int, base: str) -> None:
        self._number = number
        self._base = base
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._taken: set[str] = set()
        self._others: dict[str, list[msgspec.Raw]] = {}
        self._next = 0
        self._word: type[Thinking | Text | Refusal] | None = None
        self._word_number = 0
        self.finish = ""

    def take(self, fields: dict[str, msgspec.Raw], *, whole: bool = False) -> list[Piece]:
        """Raises Fault for what is not of the wire. `whole`: each call stands by itself, whatever its id and index."""
        pieces: list[Piece] = []
        for part in words(fields):
            pieces += self._say(part)
        for at, called in enumerate(calls(fields)):
            pieces += self._call(called._replace(at=at) if whole else called)
        for opaque in others(fields):
            self._others.setdefault(opaque.type, []).append(opaque.raw.copy())
        return pieces

    def close(self) -> list[Piece]:
        """The choice is whole. Raises Fault for a call that was never named, and where the provider broke off."""
        pieces = self._end_word()
        for call in self._calls:
            if call.number < 0:
                raise Fault(FaultKind.GARBAGE, "the provider's answer holds a tool call without a name", sent=True)
            pieces.append(Ended(call.number, self._number))
        for name, raws in self._others.items():
            number = self._take_number()
            pieces += [Begun(Opaque(OPENAI_CHAT, name, _joined(raws)), number, self._number)]
            pieces += [Ended(number, self._number)]
        pieces.append(Finished(read_finish(self.finish, called=bool(self._calls)), choice=self._number))
        return pieces

    def _take_number(self) -> int:
        self._next += 1
        return self._next - 1

    def _say(self, part: Thinking | Text | Refusal) -> list[Piece]:
        if self._word is type(part):
            return [Grown(self._word_number, text=part.text, choice=self._number)]
        pieces = self._end_word()
        self._word, self._word_number = type(part), self._take_number()
        return [*pieces, Begun(part, self._word_number, self._number)]

    def _end_word(self) -> list[Piece]:
        if self._word is None:
            return []
        self._word = None
        return [Ended(self._word_number, self._number)]

    def _call(self, called: Called) -> list[Piece]:
        call = self._find(called)
        if call.number >= 0:
            if not called.arguments and not called.signature:
                return []
            return [Grown(call.number, arguments=called.arguments, signature=called.signature, choice=self._number)]
        call.name = call.name or called.name
        call.arguments += called.arguments
        call.signature += called.signature
        call.custom = call.custom or called.custom
        if not call.name:
            return []
        pieces = self._end_word()
        call.number = self._take_number()
        part = ToolCall(self._unique(call), call.name, call.arguments, call.custom, signature=call.signature)
        return [*pieces, Begun(part, call.number, self._number)]

    def _find(self, called: Called) -> _Call:
        """The call that this piece belongs to: by its index, by its id where providers repeat that, or the last one.
        A name beside another id, or beside the same id at another index, begins a new call."""
        call = self._known(called)
        if call is None:
            call = _Call(len(self._calls), called.at, called.id)
            self._calls.append(call)
        elif call.number < 0 and not call.id:
            call.id = called.id
        if call.index is not None:
            self._by_index[call.index] = call
        if call.id:
            self._by_id[call.id] = call
        return call

    def _known(self, called: Called) -> _Call | None:
        id, name = called.id, called.name
        call = None if called.at is None else self._by_index.get(called.at)
        if call is not None:
            return None if name and id and call.id and call.id != id else call
        call = self._by_id.get(id)
        if call is not None:
            return None if name and called.at is not None and call.index is not None else call
        return self._calls[-1] if called.at is None and not id and not name and self._calls else None

    def _unique(self, call: _Call) -> str:
        unique = call.id or f"call_{self._base}_{self._number}_{call.order}"
        while unique in self._taken:
            unique = f"{unique}_{call.order}"
        self._taken.add(unique)
        return unique


def _joined(raws: list[msgspec.Raw]) -> msgspec.Raw:
    """Lists are put together, of other values the last counts."""
    if len(raws) == 1 or not all(is_list(raw) for raw in raws):
        return raws[-1]
    items = [item for raw in raws for item in msgspec.json.decode(raw, type=list[msgspec.Raw])]
    return msgspec.Raw(msgspec.json.encode(items))
