"""The plane on one machine with nothing installed by hand: servers and models that come as wheels.

Imports nothing of ours: it starts processes and knows files, not messages.
"""
