"""Documents, retrieval and conversation history."""

import msgspec


class Ingest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A document to keep. The same `source` again replaces it. `media_type`: text/plain, text/markdown."""

    source: str
    text: str
    title: str = ""
    media_type: str = "text/markdown"
    collection: str = "default"


class Ingested(msgspec.Struct, frozen=True, omit_defaults=True):
    """`unchanged`: this very text was already there."""

    document: str
    passages: int
    unchanged: bool = False


class Search(msgspec.Struct, frozen=True, omit_defaults=True):
    """`limit` passages at most, best first."""

    query: str
    limit: int = 5
    collection: str = "default"


class Passage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of a document. `score` orders one answer and means nothing across answers."""

    document: str
    source: str
    title: str
    text: str
    score: float


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """`lexical_only`: no embedding model could be asked, words alone were matched. `taint`: labels that a run
    bears from now on, which has read this."""

    passages: list[Passage]
    lexical_only: bool = False
    taint: tuple[str, ...] = ()


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a conversation, in the OpenAI chat shape (role, content, tool calls) as raw JSON.
    `id` makes appending it twice one turn. `taint`: of the run that wrote it, set by the service that keeps it."""

    id: str
    message: msgspec.Raw
    taint: tuple[str, ...] = ()


class Append(msgspec.Struct, frozen=True, omit_defaults=True):
    """Turns to add to a session, in order."""

    session: str
    turns: list[Turn]


class Appended(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many turns the session now has."""

    length: int


class HistoryRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last `limit` turns of a session."""

    session: str
    limit: int = 50


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """Turns, oldest first. `dropped`: how many older ones were left out. `taint`: labels that a run bears from now on,
    which has read this."""

    turns: list[Turn]
    dropped: int = 0
    taint: tuple[str, ...] = ()


class Forget(msgspec.Struct, frozen=True, omit_defaults=True):
    """A document (by source) or a session to delete."""

    source: str = ""
    session: str = ""
    collection: str = "default"


class Forgotten(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many documents and sessions were deleted."""

    count: int
