"""The limits of everything that goes through JetStream."""

import msgspec


class JetStreamLimits(msgspec.Struct, frozen=True):
    """`attempt_s`: how long one try waits for its acknowledgement. `budget_s`: how long a write is tried in all; a
    cluster needs up to 10 s to elect a leader. `pause_first_s` to `pause_last_s`: between two tries, with jitter.

    `page_max_bytes`: read in one go. `catch_up_s`: how long a read waits for a replica that lags behind.
    `pull_*`: one pull request; it is repeated when two heartbeats are missing. `retry_*_s`: from the first to the
    longest pause before a failed task is tried again. `follow_poll_s`: a follower looks so often by itself.
    """

    attempt_s: float = 2.0
    budget_s: float = 20.0
    pause_first_s: float = 0.02
    pause_last_s: float = 0.5
    page_max_messages: int = 1000
    page_max_bytes: int = 4 * 1024 * 1024
    catch_up_s: float = 5.0
    journal_event_max_bytes: int = 256 * 1024
    chunk_bytes: int = 256 * 1024 - 1024
    chunks_in_flight: int = 8
    pull_expires_s: float = 30.0
    pull_heartbeat_s: float = 5.0
    retry_first_s: float = 1.0
    retry_last_s: float = 60.0
    follow_poll_s: float = 5.0
