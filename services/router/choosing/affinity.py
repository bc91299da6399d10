"""The same for the same: a number, and an order of deployments, drawn from a text. Pure.

Rendezvous hashing (Thaler and Ravishankar, 1998), weighted: where one deployment leaves, only what was its own moves.
"""

from hashlib import blake2b
from math import log

from services.router.models.deployment import Deployment

_SPAN = float(2**64)
CROWD = 1.25
"""How much more than its share of the calls under way a preferred deployment may have (bounded loads)."""


def drawn(*texts: str) -> float:
    """Above 0 and below 1, evenly spread over texts."""
    digest = blake2b("\0".join(texts).encode(errors="replace"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / _SPAN


def score(seed: str, deployment: Deployment) -> float:
    """The highest goes first: in proportion to weights over seeds, always the same for one seed."""
    return -deployment.weight / log(drawn(seed, deployment.name))
