"""Screening: personal data, secrets, hidden text and words meant for a model, in texts, streams and JSON values.

Pure, and linear in the text's length: RE2 and check digits. What is found, and how surely:
docs/explanation/screening.md.
"""

from penstock.guard.detector import Detector
from penstock.guard.entity import ENTITIES, GROUPS, HIDDEN_TEXT, INSTRUCTIONS, PERSONAL, SECRETS, UnknownEntity, chosen
from penstock.guard.finding import Facts, Finding, Findings
from penstock.guard.pseudonyms import Pseudonyms, RestoreStream
from penstock.guard.redaction import Redacted, redact
from penstock.guard.screening import facts, screen
from penstock.guard.streaming import StreamScreen
from penstock.guard.values import (
    NotScreened,
    RedactedValue,
    hide_value,
    redact_json,
    redact_value,
    restore_value,
    value_facts,
)

__all__ = [
    "ENTITIES",
    "GROUPS",
    "HIDDEN_TEXT",
    "INSTRUCTIONS",
    "PERSONAL",
    "SECRETS",
    "Detector",
    "Facts",
    "Finding",
    "Findings",
    "NotScreened",
    "Pseudonyms",
    "Redacted",
    "RedactedValue",
    "RestoreStream",
    "StreamScreen",
    "UnknownEntity",
    "chosen",
    "facts",
    "hide_value",
    "redact",
    "redact_json",
    "redact_value",
    "restore_value",
    "screen",
    "value_facts",
]
