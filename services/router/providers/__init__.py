"""How each kind of provider is asked. Each one passes the same suite (tests/services/router/providers)."""
