"""The streams that messages are kept in, with their bounds."""

from penstock.contracts.endpoint import StreamStore

DAY_S = 24 * 3600
MIB = 1024 * 1024
GIB = 1024 * MIB

JOBS = StreamStore(
    "JOBS",
    ("penstock.job.*.*",),
    work_queue=True,
    discard_new=True,
    max_bytes=512 * MIB,
    max_age_s=7 * DAY_S,
    deny_delete=True,
    deny_purge=True,
)
EVENTS = StreamStore(
    "EVENTS", ("penstock.v1.*.events.*", "penstock.v1.*.approvals.*"), max_bytes=GIB, max_age_s=7 * DAY_S
)
TOKENS = StreamStore("TOKENS", ("penstock.v1.*.tokens.*",), memory=True, max_bytes=64 * MIB, max_age_s=600)
# full, it drops the oldest: whoever comes back to a stream that was dropped is told
KEPT = StreamStore("KEPT", ("penstock.kept.*.*",), memory=True, max_bytes=128 * MIB, max_age_s=600)
RUNS = StreamStore(
    "RUNS",
    ("penstock.run.*.*.j", "penstock.run.*.*.in.*.*", "penstock.run.*.*.tm.*"),
    # full, it drops the oldest: the server refuses `discard new` on a stream with schedules
    max_bytes=4 * GIB,
    max_age_s=30 * DAY_S,
    ttl=True,
    schedules=True,
)
AUDIT_LOG = StreamStore(
    "AUDIT",
    ("penstock.audit.*.*",),
    discard_new=True,
    deny_delete=True,
    deny_purge=True,
    compressed=True,
)
DLQ = StreamStore(
    "DLQ",
    (
        "penstock.dlq.*",
        "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
        "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>",
    ),
    max_bytes=512 * MIB,
    max_age_s=30 * DAY_S,
)
# as old as the oldest stored message that may refer to it; what only passes by has a TTL of its own
BLOB = StreamStore("BLOB", ("penstock.blob.*.*",), discard_new=True, max_bytes=2 * GIB, max_age_s=30 * DAY_S, ttl=True)
STORES = (JOBS, EVENTS, TOKENS, KEPT, RUNS, AUDIT_LOG, DLQ, BLOB)
