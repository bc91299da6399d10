"""Bundles of policies as they are published, and what can be asked about them and about decisions of the past."""

import msgspec

from penstock.contracts.audit import DecisionRecord


class Sources(msgspec.Struct, frozen=True):
    """One version, as the bucket `bundles` keeps it under its digest: every file by name."""

    files: dict[str, str]


class Publication(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of the pointer. `number` counts up from 1; `at` Unix seconds; `rollback`: it went back to a version that
    was in force before; `request`: of whoever published, so that the same request twice is one publication."""

    number: int
    version: str
    at: float
    tenant: str
    by: str
    note: str = ""
    rollback: bool = False
    request: str = ""


class Standing(msgspec.Struct, frozen=True):
    """The pointer, in the bucket `bundle_pointer`: the last publication is in force."""

    publications: tuple[Publication, ...]


class Publish(msgspec.Struct, frozen=True, omit_defaults=True):
    """Puts this bundle in force. `files`: `*.cedar`, `schema.cedarschema`, `tests.yaml`, `tools.json` by name.

    `expects`: the number of the publication that must still be in force (0: none was published; -1: whichever is).
    `lock_out`: also when the publisher could not publish again under it. INVALID for a bundle that is refused, its
    problems are the reasons; CONFLICT when somebody else was quicker.
    """

    files: dict[str, str]
    note: str = ""
    expects: int = -1
    lock_out: bool = False


class Rollback(msgspec.Struct, frozen=True, omit_defaults=True):
    """Puts a version in force that was published before: "" is the one before that which is in force now."""

    version: str = ""
    note: str = ""
    expects: int = -1


class Published(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is in force now; each process of policy takes it over within a second."""

    version: str
    number: int
    previous: str = ""
    rules: int = 0
    warnings: tuple[str, ...] = ()


class BundlesRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest publications."""

    limit: int = 20


class BundleList(msgspec.Struct, frozen=True, omit_defaults=True):
    """`version`: in force at whoever answers. `folder`: it comes from its folder, nothing was published. `problem`: why
    what was published last is not in force."""

    version: str
    publications: tuple[Publication, ...] = ()
    folder: bool = False
    problem: str = ""


class BundleRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version by its digest, or the first eight characters of it or more; "" is what is in force."""

    version: str = ""


class BundleView(msgspec.Struct, frozen=True):
    """One version."""

    version: str
    files: dict[str, str]


class DecisionsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Recorded decisions of one tenant (operators may name another than their own), oldest first, after sequence
    `after` of the stream; or the one of this id."""

    tenant: str = ""
    after: int = 0
    limit: int = 500
    decision: str = ""


class PastDecision(msgspec.Struct, frozen=True):
    """`time` RFC 3339 UTC."""

    tenant: str
    time: str
    record: DecisionRecord


class DecisionPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """`next`: what to ask after for more; 0: there is no more now."""

    decisions: list[PastDecision]
    next: int = 0


class ExplainRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why did this decision fall so?"""

    decision: str
    tenant: str = ""


class Compared(msgspec.Struct, frozen=True, omit_defaults=True):
    """One comparison of a rule, in Cedar's words; `holds` is yes, no or unknown; `found` the values it looked at."""

    text: str
    holds: str
    found: dict[str, str] = {}


class RuleSaid(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule that had a say. `applies`: its conditions were met. `needed`: any one of these would have turned it."""

    id: str
    permits: bool
    applies: bool
    text: str
    reason: str = ""
    compared: tuple[Compared, ...] = ()
    needed: tuple[str, ...] = ()


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """`bundle`: the version of then. `rules`: those that decided; for a refusal by default, the permits that did not
    apply. `again`: what that bundle answers when it is asked once more, "" when it cannot be. `notes`: what else is
    known, such as facts that the record does not hold."""

    decision: PastDecision
    bundle: str
    rules: tuple[RuleSaid, ...] = ()
    again: str = ""
    notes: tuple[str, ...] = ()
