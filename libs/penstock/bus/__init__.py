"""Typed messages over NATS: the only package that imports nats. Seven verbs: Call, Stream, Event, Work, Journal,
Bucket, Blob; what each promises is written at its method in client.py.
"""

from penstock.bus import quick_start as quick_start  # before anything imports nats
from penstock.bus.client import Bus
from penstock.bus.config import BusConfig
from penstock.bus.connection import Connection, Subscription
from penstock.bus.event import Listener, Stored
from penstock.bus.journal import Fenced, JournalWriter
from penstock.bus.message import Message
from penstock.bus.stream import Sender, StreamReader
from penstock.bus.work import Discard, Item, Release, Worker

__all__ = [
    "Bus",
    "BusConfig",
    "Connection",
    "Discard",
    "Fenced",
    "Item",
    "JournalWriter",
    "Listener",
    "Message",
    "Release",
    "Sender",
    "Stored",
    "StreamReader",
    "Subscription",
    "Worker",
]
