"""The plane on one machine with nothing installed by hand: servers and models that come as wheels.

It starts processes and knows files, not messages; plane.py alone, which puts the whole together, asks penstock.bus for
users and streams.
"""
