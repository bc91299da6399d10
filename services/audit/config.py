"""Settings of the audit service."""

from typing import Annotated

from msgspec import Meta

from penstock.kit.config import Count, KitConfig


class Config(KitConfig, frozen=True, kw_only=True):
    """data_dir is this service's own: `log` in it is the log, to be handed to whoever checks it; `key` signs it.

    log_origin: the log's name, which stands in every checkpoint and in its key: like a URL without its scheme.
    log_new: true lets an empty folder begin a new log where another log's key is published already.
    checkpoint_every_s, checkpoint_records_max: a checkpoint is signed so long, or so many records, after the last.
    messages_batch_max: messages of the stream that are put into the log, and on the disk, at once.
    stream_page_max: messages read from the stream at once while the log catches up with it.
    trail_entries_max, trail_bytes_max: of one answer; what is more is left off and the answer says so.
    trails_in_flight_max, verifications_in_flight_max: at once; above it callers are told `overloaded`.
    """

    log_origin: Annotated[str, Meta(pattern=r"^[^\s+]{1,200}$")] = "penstock.local/audit"
    log_new: bool = False
    checkpoint_every_s: Annotated[float, Meta(gt=0)] = 1.0
    checkpoint_records_max: Count = 1024
    messages_batch_max: Annotated[int, Meta(ge=1, le=256)] = 256
    trail_entries_max: Count = 1000
    trail_bytes_max: Count = 4 * 1024 * 1024
    trails_in_flight_max: Count = 16
    verifications_in_flight_max: Count = 16
    stream_page_max: Count = 256
