"""The keys of a plane on this machine, in the file that its policy service reads."""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

from penstock.cli.desk import UsageError
from penstock.local.layout import Layout, write_private
from services.policy.identity.key_file import create_key, read_keys, revoke_key
from services.policy.identity.keys import ApiKey, KeyRefused, KeyRing
from services.policy.money.limits import Limit

DAY_S = 24 * 3600
DEFAULT_TENANT = "default"
DEFAULT_SUBJECT = "user:me"


def create(layout: Layout, arguments: argparse.Namespace, now: float) -> tuple[ApiKey, str]:
    """What is kept, and the key itself. Raises UsageError."""
    limited = arguments.usd is not None or arguments.tokens is not None
    wanted = ApiKey(
        id="",
        digest="",
        tenant=arguments.tenant or DEFAULT_TENANT,
        subject=arguments.subject or DEFAULT_SUBJECT,
        agent=arguments.agent,
        scopes=tuple(arguments.scope or ("*",)),
        tools=tuple(arguments.tool or ("*",)),
        team=arguments.team,
        name=arguments.name,
        limits=(Limit(arguments.usd, arguments.tokens, arguments.period),) if limited else (),
        expires=now + arguments.days * DAY_S if arguments.days else 0.0,
    )
    try:
        return create_key(keys_file(layout), wanted, now)
    except KeyRefused as refused:
        raise UsageError(str(refused)) from refused


def shown(layout: Layout, now: float) -> list[dict[str, str]]:
    """Every key without its digest. Raises UsageError."""
    return [_shown(key, now) for key in _ring(layout).keys]


def revoke(layout: Layout, key_id: str, now: float) -> bool:
    """False when there is no such key. Raises UsageError."""
    if _ring(layout).get(key_id) is None:
        return False
    try:
        revoke_key(keys_file(layout), key_id, now)
    except KeyRefused as refused:
        raise UsageError(str(refused)) from refused
    return True


def ensure_own(layout: Layout, tenant: str) -> str:
    """The key of this tenant's own commands on this machine: its text when it was made now, else ""."""
    path = own_key_file(layout, tenant)
    if path.exists():
        return ""
    wanted = ApiKey(id="", digest="", tenant=tenant, subject="user:local", name="commands on this machine")
    try:
        _, key = create_key(keys_file(layout), wanted, time.time())
    except KeyRefused as refused:
        raise UsageError(str(refused)) from refused
    write_private(path, key.encode())
    return key


def keys_file(layout: Layout) -> Path:
    """Where the policy service of a local plane reads keys."""
    return layout.config / "keys.json"


def own_key_file(layout: Layout, tenant: str = DEFAULT_TENANT) -> Path:
    """The key that this tenant's commands on this machine use."""
    return layout.keys / ("cli-api-key" if tenant == DEFAULT_TENANT else f"cli-api-key-{tenant}")


def _ring(layout: Layout) -> KeyRing:
    try:
        return read_keys(keys_file(layout))
    except KeyRefused as refused:
        raise UsageError(str(refused)) from refused


def _shown(key: ApiKey, now: float) -> dict[str, str]:
    state = "usable" if key.usable(now) else "revoked" if key.revoked else "expired"
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "subject": key.subject,
        "scopes": " ".join(key.scopes),
        "tools": " ".join(key.tools),
        "created": datetime.fromtimestamp(key.created, UTC).strftime("%Y-%m-%d"),
        "state": state,
    }
