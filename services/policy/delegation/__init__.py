"""Who may act for whom: what a run's token is granted, never more than the one above it."""
