"""The models file, and what it makes: deployments, aliases, prices. One snapshot at a time."""
