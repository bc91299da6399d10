"""What a provider saw of a request, whatever its wire, and what it says to it."""

import json
from dataclasses import dataclass, field

Json = dict[str, object]


@dataclass
class Seen:
    """One request as a provider understood it."""

    system: str = ""
    words: str = ""
    """The last words of the user."""
    turns: list[str] = field(default_factory=list)
    """Every message as `role: words`, calls as `call <name> <arguments>`, results as `result <words>`."""
    results: list[str] = field(default_factory=list)
    """What tools gave since the user spoke last."""
    pairs: list[tuple[str, str]] = field(default_factory=list)
    """The city that each call asked for, and what its result was, in the order of the results."""
    tools: list[str] = field(default_factory=list)
    forced: str = ""
    """The tool that must be called."""
    schema: Json | None = None
    images: list[int] = field(default_factory=list)
    """How many characters of base64 each had."""
    output_tokens: int | None = None
    stops: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    streamed: bool = False
    cities: dict[str, str] = field(default_factory=dict)
    """Of each call, by its id."""

    def spoke(self, role: str, words: str) -> None:
        """What the same one said on end is one turn, in however many parts it was told."""
        if self.turns and self.turns[-1].startswith(f"{role}: "):
            self.turns[-1] += words
        else:
            self.turns.append(f"{role}: {words}")

    def called(self, id: str, name: str, arguments: Json) -> None:
        """The assistant called a tool."""
        self.turns.append(f"call {name} {json.dumps(arguments, sort_keys=True)}")
        self.cities[id] = str(arguments.get("city"))

    def resulted(self, id: str, words: str) -> None:
        """A tool gave this to the call of that id, which must have been made."""
        self.results.append(words)
        self.turns.append(f"result {words}")
        self.pairs.append((self.cities[id], words))


@dataclass
class Said:
    """An answer. `pieces` of text make the stream."""

    pieces: list[str] = field(default_factory=list)
    thought: str = ""
    signature: str = ""
    calls: list[tuple[str, str, Json]] = field(default_factory=list)
    cut: bool = False
    status: int = 200
    error: str = ""
    broken: bool = False
    """The connection is gone after the first piece of a stream."""
    number: int = 1
    """Of the answer, for its id."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


CACHED, INPUT, OUTPUT, REASONED = 40, 100, 20, 8
"""Tokens: INPUT includes CACHED, OUTPUT includes REASONED (where something was thought)."""
ERRORS = {"fail 400": 400, "fail 401": 401, "fail 404": 404, "fail 429": 429, "fail 500": 500, "fail 529": 529}
SIGNATURE = "c2lnbmF0dXJl"


def say(seen: Seen) -> Said:
    """The same question gets the same answer on every wire."""
    words = seen.words
    for phrase, status in ERRORS.items():
        if phrase in words:
            return Said(status=status, error=f"you asked me to {phrase}")
    if seen.results:
        return Said(pieces=["The tools", " said: ", " and ".join(seen.results)])
    return _by_kind(seen, words)


def _by_kind(seen: Seen, words: str) -> Said:
    if seen.tools and "weather" in words:
        calls: list[tuple[str, str, Json]] = [("call_a1", "weather", {"city": "Paris"})]
        if "both" in words:
            calls.append(("call_b2", "weather", {"city": "Oslo", "days": [1, 2]}))
        return Said(pieces=["I will", " look."], calls=calls)
    if seen.schema is not None:
        return Said(pieces=['{"city":', '"Paris"}'])
    if seen.images:
        return Said(pieces=[f"I see {len(seen.images)} image", f" of {seen.images[0]} characters."])
    if "think" in words:
        return Said(pieces=["Done", "."], thought="Let me see.", signature=SIGNATURE)
    if "long" in words:
        return Said(pieces=["And", " then"], cut=True)
    if "break" in words:
        return Said(pieces=["Half", " of it"], broken=True)
    if "history" in words:
        return Said(pieces=[json.dumps([seen.system, *seen.turns])])
    return Said(pieces=["Hello", ", ", "wörld", " 🌍."])
