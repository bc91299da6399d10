"""Who asks: API keys, the tokens they are exchanged for, and the scopes that both carry."""
