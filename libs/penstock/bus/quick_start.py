"""Imports nats-py without aiohttp, which it wants for WebSocket alone: a quarter of the start of a small service."""

import sys

if "aiohttp" not in sys.modules and "nats" not in sys.modules:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # None means: this import fails
    import nats.aio.transport  # noqa: F401  # here for its import of aiohttp

    del sys.modules["aiohttp"]
