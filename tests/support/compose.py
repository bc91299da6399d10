"""The plane of compose.yaml in real containers: a project of its own, built, started, looked into and taken away."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
BUILD_S = 1500.0
UP_S = 180


class _State(msgspec.Struct, rename="pascal"):
    status: str
    exit_code: int
    oom_killed: bool = msgspec.field(name="OOMKilled")


class _HostConfig(msgspec.Struct, rename="pascal"):
    readonly_rootfs: bool
    memory: int
    cap_drop: list[str] | None
    security_opt: list[str] | None


class _Config(msgspec.Struct, rename="pascal"):
    user: str
    env: list[str]


class _Networks(msgspec.Struct, rename="pascal"):
    networks: dict[str, msgspec.Raw]


class Container(msgspec.Struct, rename="pascal"):
    """What the engine says of a container."""

    id: str
    state: _State
    restart_count: int
    host_config: _HostConfig
    config: _Config
    network_settings: _Networks


class _Publisher(msgspec.Struct, rename="pascal"):
    target_port: int
    published_port: int
    url: str = msgspec.field(name="URL")


class _Line(msgspec.Struct, rename="pascal"):
    service: str
    publishers: list[_Publisher] | None


@dataclass(frozen=True)
class Compose:
    """One project. Commands raise CalledProcessError with what was said on standard error in its text."""

    project: str
    environment: dict[str, str]
    files: tuple[str, ...] = ("compose.yaml",)

    def with_files(self, *files: str) -> "Compose":
        """The same project with files laid over."""
        return Compose(self.project, self.environment, (*self.files, *files))

    def run(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """`docker compose …`; what it printed."""
        named = [part for file in self.files for part in ("-f", file)]
        return docker("compose", "-p", self.project, *named, *arguments, env=self.environment, timeout_s=timeout_s)

    def up(self) -> None:
        """Starts everything that does not run and returns when all of it is healthy."""
        self.run("up", "-d", "--wait", "--wait-timeout", str(UP_S), timeout_s=UP_S + 30)

    def cli(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """The `penstock` command in a container of the plane's network."""
        return self.run("run", "--rm", "-T", "cli", *arguments, timeout_s=timeout_s)

    def look(self, service: str) -> Container:
        """The container of a service, also one that has ended."""
        id = self.run("ps", "-a", "-q", service).strip()
        return msgspec.json.decode(docker("inspect", id), type=list[Container])[0]

    def published(self) -> set[tuple[str, str, int]]:
        """Service, address on this machine, and port in the container of whatever can be reached from here."""
        lines = self.run("ps", "--format", "json").splitlines()
        return {
            (line.service, each.url, each.target_port)
            for line in (msgspec.json.decode(text, type=_Line) for text in lines)
            for each in line.publishers or []
            if each.published_port
        }

    def down(self) -> None:
        """Takes away containers, networks and volumes."""
        self.run("--profile", "*", "down", "-v", "--remove-orphans", "-t", "10", timeout_s=120)


def docker(*arguments: str, env: dict[str, str] | None = None, timeout_s: float = 60.0) -> str:
    """The docker command; what it printed. Raises CalledProcessError."""
    argv = ["docker", *arguments]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
        error.add_note((done.stdout + done.stderr)[-6000:])
        raise error
    return done.stdout


def require_engine() -> None:
    """Fails, and says what to do, where there is no engine or no compose plugin."""
    if shutil.which("docker") is None:
        pytest.fail("`docker` is not installed: these tests need Docker with the compose plugin (v2.24 or newer)")
    for arguments, missing in (
        (("version", "--format", "{{.Server.Version}}"), "no Docker engine answers: start one, or set DOCKER_HOST"),
        (("compose", "version", "--short"), "docker has no compose plugin (v2.24 or newer)"),
    ):
        try:
            docker(*arguments, timeout_s=20)
        except subprocess.CalledProcessError as error:
            pytest.fail(f"{missing}\n{error.stderr}")


@contextmanager
def composed(project: str, settings: dict[str, str], show: Sequence[str]) -> Iterator[Compose]:
    """Built, started and healthy; taken away afterwards, whatever happened. The logs of `show` are told on failure."""
    require_engine()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "COMPOSE_"))}
    plane = Compose(project, kept | settings)
    plane.run("build", timeout_s=BUILD_S)
    try:
        try:
            plane.up()
        except subprocess.CalledProcessError as error:
            error.add_note(plane.run("ps", "-a"))
            error.add_note(plane.run("logs", "--no-color", "--tail", "20", *show)[-12_000:])
            raise
        yield plane
    finally:
        plane.down()
