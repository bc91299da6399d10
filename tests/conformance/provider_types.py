"""Every kind of provider that a models file can name, each played from its documented wire."""

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT, OPENAI_RESPONSES

Json = dict[str, object]

PRICE = {"input_usd_per_mtok": 2, "output_usd_per_mtok": 10, "cache_read_usd_per_mtok": 0.2}
TIMEOUTS = {"headers_s": 5.0, "first_content_s": 5.0, "idle_s": 5.0, "total_s": 20.0}
SCRIPTED = "scripted"


@dataclass(frozen=True)
class ProviderType:
    """`provider` as the models file calls it; `path` below the server's address; `spoken`: what it is asked in, the
    first where the caller speaks none of it."""

    provider: str
    path: str
    spoken: tuple[str, ...]

    def wire(self, surface: str) -> str:
        """The protocol that it is asked in by a caller of `surface`."""
        return surface if surface in self.spoken else self.spoken[0]

    def entry(self, url: str) -> Json:
        """A deployment of the models file."""
        if self.provider == SCRIPTED:
            return {"provider": SCRIPTED, "model": "m", "script": "script.yaml", "price": PRICE}
        return {
            "provider": self.provider,
            "base_url": url + self.path,
            "model": "m",
            "key": "file:provider.key",
            "protocols": list(self.spoken),
            "price": PRICE,
            "timeouts": TIMEOUTS,
        }


PROVIDER_TYPES: Mapping[str, ProviderType] = {
    "openai-chat": ProviderType("openai", "/v1", (OPENAI_CHAT,)),
    "openai-responses": ProviderType("openai", "/v1", (OPENAI_RESPONSES,)),
    "anthropic": ProviderType("anthropic", "", (ANTHROPIC_MESSAGES,)),
    "gemini": ProviderType("gemini", "", (GEMINI_GENERATE,)),
    "compatible": ProviderType("openai_compatible", "/v1", (OPENAI_CHAT,)),
    "azure": ProviderType("azure", "/openai/v1", (OPENAI_CHAT, OPENAI_RESPONSES)),
    SCRIPTED: ProviderType(SCRIPTED, "", (OPENAI_CHAT,)),
}

_USAGE = {"input": 100, "output": 20, "cached": 40}
SCRIPT = {
    "rules": [
        *(
            {
                "when": {"contains": f"fail {status}"},
                "fail": {"status": status, "message": f"you asked me to fail {status}"},
            }
            for status in (400, 401, 404, 429, 500, 529)
        ),
        {"when": {"contains": "weather", "turn": 1}, "say": ["The tools", " said."], "usage": _USAGE},
        {
            "when": {"contains": "both"},
            "say": ["I will", " look."],
            "calls": [
                {"name": "weather", "arguments": {"city": "Paris"}},
                {"name": "weather", "arguments": {"city": "Oslo"}},
            ],
            "usage": _USAGE,
        },
        {
            "when": {"contains": "weather"},
            "say": ["I will", " look."],
            "calls": [{"name": "weather", "arguments": {"city": "Paris"}}],
            "usage": _USAGE,
        },
        {"when": {"contains": "city"}, "say": ['{"city":', '"Paris"}'], "usage": _USAGE},
        {"when": {"contains": "break"}, "say": ["Half", " of it"], "fail": {"how": "cut", "after": 1}},
        {"when": {"contains": "long"}, "say": ["And", " then"], "finish": "length", "usage": _USAGE},
        {"say": ["Hello", ", ", "wörld", " 🌍."], "usage": _USAGE},
    ]
}
"""What the scripted provider says: the same as the others, so far as a script can."""
