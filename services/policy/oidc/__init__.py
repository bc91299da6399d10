"""Single sign-on: tokens that others signed (OpenID Connect, OAuth), and who their bearers are here."""
