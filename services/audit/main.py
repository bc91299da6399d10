"""Starts the audit service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NoReturn

from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_SINK, AUDIT_TRAIL, AUDIT_VERIFY
from penstock.contracts.services import AUDIT
from penstock.kit.service import Parts, Service, answer, listen, run
from services.audit.config import Config
from services.audit.disk import Disk, InUse, held
from services.audit.handlers import Handlers
from services.audit.key_file import KeyUnusable, own_key
from services.audit.notary import Notary
from services.audit.publish_key import publish_key
from services.audit.source import AUDIT_RAW, Source
from services.audit.trail import Trails
from services.audit.writer import Writer


@asynccontextmanager
async def audit(config: Config, parts: Parts) -> AsyncIterator[Service]:
    """Waits while another process holds the folder; refuses to start on a log that is not the stream's."""
    data = parts.data_dir
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder, index = data / "log", data / "index.sqlite"
    try:
        with held(data):
            key = await asyncio.to_thread(own_key, data, config.log_origin, Disk())
            open_writer = partial(Writer, folder, key, Disk(), index, config.checkpoint_records_max)
            source = Source(parts.bus, config.stream_page_max)
            notary = Notary(open_writer, source, parts.clock, parts.metrics, parts.log)
            try:
                size = await notary.size()
                await publish_key(parts.bus, key.verifying, log_is_empty=size == 0, allow_new=config.log_new)
                await notary.start()
                trails = Trails(
                    folder,
                    index,
                    notary.unsigned_entries,
                    entries_max=config.trail_entries_max,
                    bytes_max=config.trail_bytes_max,
                )
                handlers = Handlers(trails, folder, str(key.verifying), parts.clock)
                parts.readiness.add("log", notary.ready)
                yield Service(
                    AUDIT,
                    [
                        listen(AUDIT_RAW, AUDIT_SINK, notary.take, batch_max=config.messages_batch_max),
                        answer(AUDIT_TRAIL, handlers.trail, in_flight_max=config.trails_in_flight_max),
                        answer(AUDIT_VERIFY, handlers.verify, in_flight_max=config.verifications_in_flight_max),
                    ],
                    background=[partial(notary.publish_for_ever, config.checkpoint_every_s)],
                )
            finally:
                await notary.close()
    except InUse as error:
        raise Failure(Code.UNAVAILABLE, str(error)) from error
    except KeyUnusable as error:
        raise Failure(Code.CONFLICT, str(error)) from error


def main() -> NoReturn:
    """The process."""
    run(audit, Config, AUDIT)
