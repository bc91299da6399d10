"""What a request asks of whoever serves it. Values only."""

from collections.abc import Mapping

import msgspec

from services.router.models.deployment import Kind

UNBOUNDED_USD = 1e9
"""Money left where there is no limit, or none is known yet."""


class Need(msgspec.Struct, frozen=True):
    """`tokens`: the estimate of its input and its longest output, `output_tokens` the latter alone.

    `surface`: the protocol it came in. `session`: its conversation, "" for none; `labels`: the caller's. `lossy_ok`:
    the caller takes an answer without what a model cannot honour. `tenant`, `user`: who asks. `budget_left_usd`: as
    policy said last.
    """

    kind: Kind
    tools: bool = False
    tokens: int = 0
    schema: bool = False
    images: bool = False
    documents: bool = False
    audio: bool = False
    reasoning: bool = False
    output_tokens: int = 0
    streamed: bool = False
    surface: str = ""
    session: str = ""
    labels: Mapping[str, str] = {}
    lossy_ok: bool = False
    tenant: str = ""
    user: str = ""
    budget_left_usd: float = UNBOUNDED_USD

    def facts(self) -> dict[str, object]:
        """As conditions see it."""
        return {
            "kind": self.kind,
            "surface": self.surface,
            "streamed": self.streamed,
            "tools": self.tools,
            "schema": self.schema,
            "images": self.images,
            "documents": self.documents,
            "audio": self.audio,
            "reasoning": self.reasoning,
            "tokens": self.tokens,
            "labels": dict(self.labels),
            "session": self.session,
            "tenant": self.tenant,
            "user": self.user,
            "budget_left_usd": float(self.budget_left_usd),
        }


ABILITIES: Mapping[str, str] = {
    "tools": "takes no tools",
    "schema": "keeps to no schema",
    "images": "takes no images",
    "documents": "takes no documents",
    "audio": "takes no audio",
    "reasoning": "takes no wish for reasoning",
}
"""What a request may need and a model may lack, and how that is said."""
