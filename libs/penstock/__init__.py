"""Penstock: an agentic data plane on NATS. What stands here is for its users; see penstock.client.

Imported when first asked for, so that `penstock.contracts` alone needs no more than msgspec.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.client import Limits, Penstock, Profile, ProfileError, connect, find_profile, job
    from penstock.contracts.errors import Code, Failure
    from penstock.contracts.jobs import Job, JobEvent, JobView, TokenFrame

__all__ = [
    "Code",
    "Failure",
    "Job",
    "JobEvent",
    "JobView",
    "Limits",
    "Penstock",
    "Profile",
    "ProfileError",
    "TokenFrame",
    "connect",
    "find_profile",
    "job",
]

_ELSEWHERE = {
    "Code": "penstock.contracts.errors",
    "Failure": "penstock.contracts.errors",
    "Job": "penstock.contracts.jobs",
    "JobEvent": "penstock.contracts.jobs",
    "JobView": "penstock.contracts.jobs",
    "TokenFrame": "penstock.contracts.jobs",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_ELSEWHERE.get(name, "penstock.client")), name)
