"""What makes two requests the same. Pure."""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from services.router.protocols.part import Text
from services.router.protocols.prompt import Prompt

WITHOUT_EFFECT = frozenset({"stream", "stream_options", "user", "metadata", "store", "safety_identifier", "model"})
"""Top-level fields that do not change what is answered. The alias stands for `model`."""


class Circle(msgspec.Struct, frozen=True):
    """Who shares answers with whom, and about which model. `deployments`: their ids, so that an edit forgets."""

    tenant: str
    user: str
    alias: str
    deployments: tuple[str, ...]
    surface: str
    losses: str = ""
    template: str = ""
    headers: Mapping[str, str] = {}

    @property
    def digest(self) -> str:
        """Tells circles apart."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def exact(circle: Circle, body: bytes) -> str:
    """The key of a request: whose it is, and every field that matters, as it was written."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return _digest(circle, ((name, bytes(fields[name])) for name in sorted(fields) if name not in WITHOUT_EFFECT))


def question(prompt: Prompt) -> str:
    """The last words of the user, which are compared by meaning; "" when they are more than words, or few."""
    last = prompt.turns[-1] if prompt.turns else None
    if last is None or last.role != "user" or not all(isinstance(part, Text) for part in last.parts):
        return ""
    return "\n".join(part.text for part in last.parts if isinstance(part, Text)).strip()


def surroundings(circle: Circle, prompt: Prompt) -> str:
    """The key of all that must be exactly the same for questions to be compared."""
    rest = msgspec.structs.replace(prompt, turns=prompt.turns[:-1], user="", metadata={}, wants_usage=False)
    return _digest(circle, [("prompt", msgspec.json.encode(rest, order="sorted"))])


def _digest(circle: Circle, fields: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256(circle.digest.encode())
    for name, value in fields:
        digest.update(b"\n%d %s %d " % (len(name), name.encode(), len(value)))
        digest.update(value)
    return digest.hexdigest()
