"""The gateway's settings."""

from typing import Annotated

from msgspec import Meta

from penstock.kit.config import Count, KitConfig, Port, Seconds


class Config(KitConfig, frozen=True, kw_only=True):
    """http_host, http_port: where clients connect; port 0 takes a free one.
    body_max_bytes: the largest request body; bodies_max_bytes: of all that are held at once, above it clients get 503.
    requests_max: requests under way at once; above it clients get 503 with Retry-After.
    request_timeout_s: the longest that a request may take.
    head_timeout_s: the longest that a client may take to send a request's head.
    body_timeout_s: the longest silence while a client sends its body.
    send_timeout_s: the longest that a client may leave an event stream unread; then it is given up.
    sse_keep_alive_s: how often a silent event stream says that it is alive.
    identity_cache_s, identity_cache_max: how long, and for how many keys, an authentication is remembered; one that is
    revoked is forgotten at once.
    public_url: the edge's address as its clients know it, such as https://plane.example.com; authorization_servers:
    where they get tokens, by issuer; scopes_supported: what they are told to ask for there. Without the first two the
    edge publishes no metadata of a protected resource.
    """

    http_host: str = "127.0.0.1"
    http_port: Port = 8080
    body_max_bytes: Count = 64 * 1024 * 1024
    bodies_max_bytes: Count = 1024 * 1024 * 1024
    requests_max: Count = 2000
    request_timeout_s: Annotated[float, Meta(gt=0)] = 600.0
    head_timeout_s: Annotated[float, Meta(gt=0)] = 30.0
    body_timeout_s: Annotated[float, Meta(gt=0)] = 30.0
    send_timeout_s: Annotated[float, Meta(gt=0)] = 60.0
    sse_keep_alive_s: Annotated[float, Meta(gt=0)] = 10.0
    identity_cache_s: Seconds = 60.0
    identity_cache_max: Count = 10_000
    public_url: Annotated[str, Meta(pattern=r"^(https?://[A-Za-z0-9.\[\]:-]+)?$")] = ""
    authorization_servers: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] = ()
