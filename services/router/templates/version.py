"""A version of a template as it is written. Values only."""

import msgspec

from services.router.models.bad_file import BadModelsFile
from services.router.protocols.prompt import Role


class BadTemplate(BadModelsFile):
    """Why a template is refused, in a sentence."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message as it is written."""

    role: Role
    content: str


class VersionEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version as it is written. `variables`: a JSON Schema (2020-12) for each; those with a `default` may be left
    out, all others are needed, and nothing else is taken."""

    messages: list[Line]
    variables: dict[str, dict[str, object]] = {}
