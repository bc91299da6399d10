"""Penstock: what users import. Publish a job, follow it, cancel it, approve it."""
