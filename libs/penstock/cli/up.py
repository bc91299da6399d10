"""penstock up: the whole plane on this machine, until ^C or SIGTERM."""

import argparse
from contextlib import ExitStack
from pathlib import Path

import msgspec

from penstock.cli.desk import Commands, Desk, UsageError
from penstock.cli.exits import Exit
from penstock.cli.screen import Screen
from penstock.client.profile import FILE_NAME, Profile
from penstock.contracts.ids import is_token
from penstock.local.child import StartFailed
from penstock.local.layout import Layout, write_private
from penstock.local.plane import Plane, PlaneSettings
from penstock.local.ports import is_free
from penstock.local.processes import Notice, stop_signals
from penstock.local.state import State

TENANT = "default"


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("up", parents=[shared], help="run a whole plane on this machine", description=__doc__)
    parser.add_argument("--no-model", action="store_true", help="without the small local model")
    parser.add_argument("--tenant", action="append", default=[], help="one more tenant with a key and a profile")
    static = "a tenant whose NATS clients may come by an nkey seed, also while policy is away"
    parser.add_argument("--static-tenant", action="append", default=[], help=static)
    parser.add_argument("--http-port", type=int, default=0, help="where the HTTP edge listens")
    parser.add_argument("--nats-port", type=int, default=0, help="where the broker listens")
    parser.add_argument("--free-ports", action="store_true", help="any ports, not the usual ones (8080, 4222)")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument("--fast-disk", action="store_true", help="do not wait for the disk before acknowledging")
    parser.set_defaults(run=run)


async def run(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.cli.key_store import ensure_own, own_key_file  # needs what only the plane's extra brings

    stop = stop_signals()
    layout, screen = desk.layout, desk.screen
    with layout.held():
        _check_ports(arguments)
        tenants = _tenants(layout, arguments.tenant)
        new_key = {tenant: ensure_own(layout, tenant) for tenant in tenants}[TENANT]
        settings = PlaneSettings(
            layout,
            desk.environment,
            tenant=TENANT,
            static_tenants=_checked(arguments.static_tenant),
            model=not arguments.no_model,
            ports={"http": arguments.http_port, "broker": arguments.nats_port},
            free_ports=arguments.free_ports,
            sync_always=not arguments.fast_disk,
            log_level=arguments.log_level,
        )
        plane = Plane(settings, lambda notice: _tell(screen, notice))
        for tenant in tenants:
            _write_profile(layout, tenant, plane.state, own_key_file(layout, tenant))
        screen.note(f"data in {layout.root}")
        with ExitStack() as until_ready:
            until_ready.enter_context(screen.working("starting"))

            def ready(state: State) -> None:
                until_ready.close()
                _ready(screen, state, new_key, own_key_file(layout, TENANT).absolute())

            try:
                await plane.run(stop, ready)
            except StartFailed:
                until_ready.close()
                _name_bad_files(screen, layout)
                raise
    screen.data({"stopped": True})
    screen.note("stopped")
    return Exit.OK


def _check_ports(arguments: argparse.Namespace) -> None:
    for port in (arguments.http_port, arguments.nats_port):
        if port and not is_free(port):
            raise UsageError(f"port {port} is in use: name another one, or leave it out and a free one is taken")


def _name_bad_files(screen: Screen, layout: Layout) -> None:
    """A part that does not start has often been told something wrong."""
    from penstock.cli.files import refused  # reads the files as the services do, and needs what they need

    for path, why in refused(layout):
        if why:
            screen.data({"file": str(path), "problem": why})
            screen.wrong(f"{path}: {why}")


def _tenants(layout: Layout, more: list[str]) -> tuple[str, ...]:
    """The default one, those of earlier starts, and those named now."""
    known = [path.stem.removeprefix("profile-") for path in sorted(layout.root.glob("profile-*.json"))]
    return tuple(dict.fromkeys((TENANT, *filter(is_token, known), *_checked(more))))


def _checked(tenants: list[str]) -> tuple[str, ...]:
    for name in tenants:
        if not is_token(name):
            raise UsageError(f"a tenant is 1 to 64 of A-Z a-z 0-9 _ and -, not {name[:80]!r}")
    return tuple(dict.fromkeys(tenants))


def _write_profile(layout: Layout, tenant: str, state: State, key_file: Path) -> None:
    """profile.json for the commands here; profile-<tenant>.json for another tenant's programs."""
    profile = Profile(url=state.url, tenant=tenant, api_key_file=str(key_file.absolute()), http_url=state.http_url)
    name = FILE_NAME if tenant == TENANT else f"profile-{tenant}.json"
    write_private(layout.root / name, msgspec.json.format(msgspec.json.encode(profile), indent=2) + b"\n")


def _ready(screen: Screen, state: State, new_key: str, key_file: Path) -> None:
    screen.data({"ready": state, "api_key_file": str(key_file)})
    screen.say(f"ready  HTTP {state.http_url}  NATS {state.url}  model: {state.model}", style="bold green")
    if new_key:
        screen.say(f"API key (shown once; kept for the commands here in {key_file}):\n  {new_key}")
    screen.note("try: penstock chat 'Hello'    look after it: penstock doctor    stop it: ^C")


def _tell(screen: Screen, notice: Notice) -> None:
    screen.data({"part": notice.part, "what": notice.what, "detail": notice.detail})
    if notice.what in ("ended", "failed"):
        screen.wrong(f"{notice.part} {notice.what}: {notice.detail}; it is started again")
