"""Makes the relay of a stream to the client who asked for it."""

from services.gateway.config import Config
from services.gateway.dialects.dialect import Form
from services.gateway.exchange import Exchange
from services.gateway.sse import Relay


def relay(exchange: Exchange, form: Form, config: Config) -> Relay:
    """For this request, in this form."""
    return Relay(
        exchange.request.receive,
        exchange.send,
        exchange.dialect,
        form,
        exchange.meta.request,
        keep_alive_s=config.sse_keep_alive_s,
        send_timeout_s=config.send_timeout_s,
    )
