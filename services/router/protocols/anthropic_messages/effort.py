"""How hard a model is to think, in words and in tokens, and which Claude models take which. Pure."""

import re

from services.router.protocols.prompt import Effort

BUDGETS: dict[Effort, int] = {
    "none": 0,
    "minimal": 1024,
    "low": 4096,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 65_536,
}
"""The one table. From words to tokens as it stands; from tokens to the least word that is no fewer tokens."""
BUDGET_MIN = 1024
"""Anthropic refuses smaller ones."""
_ADAPTIVE_SINCE = (4, 6)
_NO_SAMPLING_SINCE = (4, 7)
_SYSTEM_TURNS_SINCE = (4, 8)
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?![0-9])")


def effort_of(budget_tokens: int) -> Effort:
    """Never lower than what the tokens allow; above the table it is its greatest."""
    return next((effort for effort, tokens in BUDGETS.items() if tokens >= budget_tokens), "max")


def takes_adaptive(model: str) -> bool:
    """Whether the model thinks by effort (`thinking: adaptive`, `output_config.effort`), or by a budget of tokens."""
    return _generation(model) >= _ADAPTIVE_SINCE


def takes_sampling(model: str) -> bool:
    """Whether temperature, top_p and top_k may be set."""
    return _generation(model) < _NO_SAMPLING_SINCE


def takes_system_turns(model: str) -> bool:
    """Whether a `system` message may stand in the middle of a conversation."""
    return _generation(model) >= _SYSTEM_TURNS_SINCE


def _generation(model: str) -> tuple[int, int]:
    """(4, 6) of claude-opus-4-6. A Claude without a number is a new one; what is no Claude at all (others speak this
    protocol too) is treated as the oldest."""
    found = _VERSION.search(model)
    if found is None:
        return (99, 0) if "claude" in model and not re.search(r"claude-(?:instant|v)", model) else (0, 0)
    return int(found[1]), int(found[2] or 0)
