"""Which attributes a Cedar schema declares: for each kind of entity, and for the context of each action. Pure.

Facts that the schema does not declare are left out before Cedar is asked (a newer service may send more than an older
bundle knows); Cedar then checks what remains. Reads the canonical text that cedarpy gives of a parsed schema
(grammar: https://docs.cedarpolicy.com/schema/human-readable-schema-grammar.html), without namespaces.
"""

import re
from collections.abc import Mapping

import msgspec

_TOKEN = re.compile(r'\s+|//[^\n]*\n|("(?:[^"\\]|\\.)*"|[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*|[{}\[\]<>(),:;=?@])')


class ShapeUnreadable(Exception):
    """A schema that uses what is not supported here."""


class Attribute(msgspec.Struct, frozen=True):
    """`kind`: String, Long, Bool, Set<String>, an entity type's name, or another text that no fact has."""

    kind: str
    required: bool = True


Record = dict[str, Attribute]


class Action(msgspec.Struct, frozen=True):
    """Who may do it, to what, with which facts. `groups` are the actions it stands under."""

    principals: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    context: Record = {}
    groups: tuple[str, ...] = ()


class Shape(msgspec.Struct, frozen=True):
    """The attributes of every entity type and the shape of every action."""

    entities: Mapping[str, Record]
    actions: Mapping[str, Action]


def read_shape(schema: str) -> Shape:
    """The shape of a schema in canonical text. Raises ShapeUnreadable."""
    return _Reader(_tokens(schema)).shape()


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ShapeUnreadable(f"the schema has {text[place : place + 20]!r}, which is not understood")
        if match.group(1):
            found.append(match.group(1))
        place = match.end()
    return found


class _Reader:
    """Recursive descent over the tokens; common types are resolved at the end, as they may stand after their use."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._place = 0
        self._types: dict[str, str | Record] = {}
        self._entities: dict[str, Record] = {}
        self._actions: dict[str, tuple[Action, str | Record]] = {}

    def shape(self) -> Shape:
        while self._place < len(self._tokens):
            self._annotations()
            self._declaration(self._take())
        entities = {name: self._resolved(record) for name, record in self._entities.items()}
        actions = {
            name: msgspec.structs.replace(action, context=self._resolved(self._record(context)))
            for name, (action, context) in self._actions.items()
        }
        return Shape(entities, actions)

    def _declaration(self, word: str) -> None:
        match word:
            case "entity":
                self._entity()
            case "action":
                self._action()
            case "type":
                name = self._take()
                self._expect("=")
                self._types[name] = self._type()
                self._expect(";")
            case _:
                raise ShapeUnreadable(f"the schema has {word!r}, which is not supported here")

    def _entity(self) -> None:
        names = self._names()
        record: str | Record = {}
        if self._if("in"):
            self._list()
        if self._if("enum"):
            self._list()
        if self._if("=") or self._next() == "{":
            record = self._type()
        if self._if("tags"):
            self._type()
        self._expect(";")
        for name in names:
            self._entities[name] = self._record(record)

    def _action(self) -> None:
        names = self._names()
        groups: tuple[str, ...] = ()
        if self._if("in"):
            groups = tuple(self._list())
        principals: tuple[str, ...] = ()
        resources: tuple[str, ...] = ()
        context: str | Record = {}
        if self._if("appliesTo"):
            self._expect("{")
            while not self._if("}"):
                part = self._take()
                self._expect(":")
                match part:
                    case "principal":
                        principals = tuple(self._list())
                    case "resource":
                        resources = tuple(self._list())
                    case _:
                        context = self._type()
                self._if(",")
        self._expect(";")
        for name in names:
            self._actions[name] = (Action(principals, resources, {}, groups), context)

    def _type(self) -> str | Record:
        if self._if("{"):
            return self._fields()
        name = self._take()
        if name == "Set":
            self._expect("<")
            inner = self._type()
            self._expect(">")
            return f"Set<{inner}>" if isinstance(inner, str) else "Set<>"
        return name.removeprefix("__cedar::")

    def _fields(self) -> Record:
        record: Record = {}
        while not self._if("}"):
            self._annotations()
            name = _plain(self._take())
            required = not self._if("?")
            self._expect(":")
            kind = self._type()
            record[name] = Attribute(kind if isinstance(kind, str) else "Record", required)
            self._if(",")
        return record

    def _record(self, kind: str | Record) -> Record:
        while isinstance(kind, str):
            if kind not in self._types:
                raise ShapeUnreadable(f"the schema has no type {kind!r}")
            kind = self._types[kind]
        return kind

    def _resolved(self, record: Record) -> Record:
        """With common types of single attributes replaced by what they stand for."""
        return {name: Attribute(self._kind(one.kind), one.required) for name, one in record.items()}

    def _kind(self, kind: str) -> str:
        if kind.startswith("Set<"):
            return f"Set<{self._kind(kind[4:-1])}>"
        for _ in self._types:
            found = self._types.get(kind)
            if found is None:
                break
            kind = found if isinstance(found, str) else "Record"
        return kind

    def _annotations(self) -> None:
        while self._if("@"):
            self._take()
            if self._if("("):
                self._take()
                self._expect(")")

    def _names(self) -> list[str]:
        names = [_plain(self._take())]
        while self._if(","):
            names.append(_plain(self._take()))
        return names

    def _list(self) -> list[str]:
        """`X`, `[X, Y]`, and `Action::"x"` as plain names."""
        if not self._if("["):
            return [self._name()]
        names: list[str] = []
        while not self._if("]"):
            names.append(self._name())
            self._if(",")
        return names

    def _name(self) -> str:
        name = self._take()
        if self._next() == ":":
            self._expect(":")
            self._expect(":")
            name = self._take()
        return _plain(name)

    def _next(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        if not token:
            raise ShapeUnreadable("the schema ends in the middle")
        self._place += 1
        return token

    def _if(self, token: str) -> bool:
        if self._next() != token:
            return False
        self._place += 1
        return True

    def _expect(self, token: str) -> None:
        found = self._take()
        if found != token:
            raise ShapeUnreadable(f"the schema has {found!r} where {token!r} should be")


def _plain(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name
