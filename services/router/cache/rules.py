"""What an alias allows to be kept. Values only."""

from typing import Annotated, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=30 * 86_400)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class CacheRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`ttl_s`: how long an answer is kept. `scope`: whose answers one may get: one's own, or those of one's tenant.
    `similarity`: how like the question must be, by the cosine of its embedding, everything else being equal; 0 turns
    that off. `embed`: the alias that embeds questions ("" is the default one). `answer_max_bytes`: larger ones are not
    kept. `shared_in_flight`: who asks what is being answered already waits for that answer."""

    ttl_s: Seconds = 3600.0
    scope: Literal["user", "tenant"] = "user"
    similarity: Share = 0.0
    embed: str = ""
    answer_max_bytes: Annotated[int, msgspec.Meta(ge=1024, le=8 * 1024 * 1024)] = 256 * 1024
    shared_in_flight: bool = True
