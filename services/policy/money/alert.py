"""A threshold of a limit that was reached, as the store keeps it until it is told, and as it is told. Pure."""

import hashlib

import msgspec

from penstock.contracts.money import ALERT, AlertRecord
from services.policy.money.limits import dollars

Alert = AlertRecord


def alert(field: str, used: str) -> Alert:
    """From a field of the store's hash `alerts` and its value (pots.lua)."""
    measure, percent, limit, pot = field.split(" ", 3)
    return Alert(pot, measure, int(percent), int(used), int(limit))


def field_of(alert: Alert) -> str:
    """The field that stands for it."""
    return f"{alert.measure} {alert.percent} {alert.limit} {alert.pot}"


def alert_id(tenant: str, alert: Alert) -> str:
    """The same for everybody who tells it: the stream and its readers take it once."""
    seed = f"{tenant}\n{field_of(alert)}"
    return f"alert_{hashlib.sha256(seed.encode()).hexdigest()[:32]}"


def data(alert: Alert) -> msgspec.Raw:
    """Of its audit record, whose type is ALERT."""
    return msgspec.Raw(msgspec.json.encode(alert))


def in_words(alert: Alert) -> str:
    """For a person."""
    if alert.measure == "nano":
        return f"{alert.pot} has used {dollars(alert.used)} of {dollars(alert.limit)} ({alert.percent} % reached)"
    return f"{alert.pot} has used {alert.used} of {alert.limit} {alert.measure} ({alert.percent} % reached)"


__all__ = ["ALERT", "Alert", "alert", "alert_id", "data", "field_of", "in_words"]
