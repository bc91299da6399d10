"""Responses that can be continued: kept for the user who asked, whoever answered."""
