"""Who acted for whom: the links of a chain of runs, and the end of a run with all below it."""

import msgspec


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """One delegation, in the bucket `chains` under `<tenant>.<run>.<txn>`: what the run's token says.

    `origin`: the human or workload at the start; `actor` acts now, the last of `chain`; `lineage`: the runs from the
    outermost to this one; `nano`, `tokens`: what was carved for it (0: no account of its own); `made`, `expires`: Unix
    seconds; `key`: id of the API key at the origin; `decision`: by which it was permitted.
    """

    tenant: str
    txn: str
    run: str
    origin: str
    actor: str
    chain: tuple[str, ...] = ()
    lineage: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    nano: int = 0
    tokens: int = 0
    made: float = 0.0
    expires: float = 0.0
    key: str = ""
    decision: str = ""


class ChainRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The chain of a run, or of the run of a job, or every delegation of a transaction, by its id. A transaction's come
    in pages, the oldest first; `after` is the `next` of the page before."""

    id: str
    limit: int = 100
    after: int = 0


class ChainLink(msgspec.Struct, frozen=True, omit_defaults=True):
    """A link and how it stands: what is left of what was carved for it (-1: it has no account of its own), and
    whether it is revoked (by itself, by a run above it, by its transaction or key)."""

    link: Link
    left_nano: int = -1
    left_tokens: int = -1
    revoked: bool = False


class Chain(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of a run: from the origin to it. `next`: 0 at the end."""

    links: tuple[ChainLink, ...]
    next: int = 0


class RunRevoke(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run, by its id or its job's, and every run below it may do nothing more."""

    run: str
    reason: str = ""


class RunRevoked(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every service hears of it within a second. What is under way in that second is not stopped: its next action is
    refused."""

    run: str
