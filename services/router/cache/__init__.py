"""Answers kept for who asks the same again: exactly the same, or nearly. Never across identities."""
