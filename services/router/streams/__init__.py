"""Streamed answers on their way to a reader: held until there is content, kept for one who comes back."""
