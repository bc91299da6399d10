"""What can be asked now: one immutable snapshot of aliases and deployments, with a version. Values only."""

from collections.abc import Mapping

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ModelInfo
from services.router.deployment import Deployment, Kind

SHOWN_MAX_CHARS = 80


class Alias(msgspec.Struct, frozen=True):
    """A name that callers use, and the deployments behind it, in the order to try them."""

    name: str
    deployments: tuple[Deployment, ...]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What any of its deployments does."""
        return tuple(sorted({kind for deployment in self.deployments for kind in deployment.kinds}))

    def info(self) -> ModelInfo:
        """As callers see it: what every deployment behind it can be relied on for."""
        windows = [each.context_tokens for each in self.deployments if each.context_tokens]
        owners = sorted({each.provider for each in self.deployments})
        tools = any(each.tools and "chat" in each.kinds for each in self.deployments)
        return ModelInfo(self.name, self.kinds, ", ".join(owners), max(windows, default=0), tools)


class Catalogue(msgspec.Struct, frozen=True):
    """A request works on the snapshot it began with, whatever is loaded meanwhile."""

    aliases: Mapping[str, Alias]
    default_chat: str = ""
    default_embed: str = ""
    version: str = ""

    def find(self, name: str) -> Alias:
        """Raises Failure(NOT_FOUND)."""
        alias = self.aliases.get(name)
        if alias is None:
            shown = name if len(name) <= SHOWN_MAX_CHARS else name[:SHOWN_MAX_CHARS] + "…"
            raise Failure(Code.NOT_FOUND, f"there is no model {shown!r}", param="model")
        return alias
