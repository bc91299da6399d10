"""The `penstock` command: a plane on this machine, jobs, evidence. Every command can print JSON and ends with a status
that scripts can use (exits.py)."""
