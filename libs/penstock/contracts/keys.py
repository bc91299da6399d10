"""API keys through the plane, and what was revoked."""

import msgspec


class Revocation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Stands in the bucket `revocations` under `key.<key id>`, `txn.<txn>` or `run.<run id>`.

    It refuses the tokens of `tenant` that come from that key or transaction, or from that run or any run below it,
    from `since` on (Unix seconds; 0 is at once, whatever a service's clock says). Never taken back.
    """

    tenant: str
    since: float = 0.0
    by: str = ""
    reason: str = ""
