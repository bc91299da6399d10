"""Who may connect to the broker as a tenant's client: asked by the broker, decided by API key, ended by revocation."""
