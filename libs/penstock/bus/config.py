"""How to reach the broker, and the bus's limits."""

import msgspec

from penstock.bus.limits import JetStreamLimits


class BusConfig(msgspec.Struct, frozen=True):
    """`url`: one or more servers, separated by commas. `principal` names the service that we are, or
    `tenant` the tenant whose client: it stands in our inbox and in the broker's permissions. `seed_file`: nkey seed.

    A body above `claim_check_bytes` travels by reference, one above `body_max_bytes` is refused; one that only passes
    by, with a call, is kept for `passing_body_ttl_s`. `token`: an API key, where the broker asks policy about clients;
    `refused_wait_s`: how long the pause between two tries grows while it refuses us. `lean=False` keeps nats-py's own
    reader (same promises, slower).
    """

    url: str = "nats://127.0.0.1:4222"
    principal: str = "anonymous"
    tenant: str = ""
    seed_file: str = ""
    token: str = ""
    tls_ca_file: str = ""
    connect_timeout_s: float = 5.0
    reconnect_wait_s: float = 0.2
    refused_wait_s: float = 5.0
    ping_interval_s: float = 5.0
    watchdog_interval_s: float = 5.0
    watchdog_timeout_s: float = 2.0
    claim_check_bytes: int = 256 * 1024
    body_max_bytes: int = 64 * 1024 * 1024
    passing_body_ttl_s: int = 3600
    write_buffer_max_bytes: int = 32 * 1024 * 1024
    keep_alive_s: float = 2.0
    silence_s: float = 6.0
    no_responders_s: float = 2.0
    stream_window_frames: int = 64
    stream_frame_max_bytes: int = 64 * 1024
    stream_reader_lost_s: float = 15.0
    lean: bool = True
    jetstream: JetStreamLimits = JetStreamLimits()
