"""The files that people write for a plane, read as its services read them: whether each would be taken, or why not."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from penstock.contracts.errors import Failure
from penstock.local.layout import Layout
from services.orchestrator.agents import read_agents
from services.policy.identity.key_file import read_keys
from services.policy.identity.keys import KeyRefused
from services.policy.money.limits import LimitsRefused
from services.policy.rulebook import read_limits
from services.policy.rules.bundle_cases import load_bundle
from services.policy.rules.sources import BundleRefused
from services.router.models.file import BadModelsFile, load
from services.tool_executor.credentials import Credentials
from services.tool_executor.http import HttpRunner
from services.tool_executor.sql import SqlRunner
from services.tool_executor.toolsfile import BadToolsFile, parse


class _KeysElsewhere(Mapping[str, str]):
    """Whoever asks need not have the router's keys: each that is named is taken to be there."""

    def __getitem__(self, name: str) -> str:
        return "there"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def refused(layout: Layout) -> Iterator[tuple[Path, str]]:
    """Each file, or folder of policies, that is there; and why it would not be taken, "" when it would."""
    config = layout.root / "config"
    checks: list[tuple[Path, Callable[[Path], None]]] = [
        (config / "models.yaml", _models),
        (config / "tools.yaml", _tools),
        (config / "agents.yaml", _agents),
        (config / "accounts.yaml", _limits),
        (config / "keys.json", _keys),
        (layout.root / "policies", _policies),
    ]
    for path, check in checks:
        if path.exists():
            yield path, _why_not(path, check)


def _why_not(path: Path, check: Callable[[Path], None]) -> str:
    try:
        check(path)
    except Failure as failure:
        return failure.detail
    except (BadModelsFile, BadToolsFile, LimitsRefused, KeyRefused, BundleRefused) as error:
        return str(error)
    except (OSError, UnicodeDecodeError) as error:
        return f"it cannot be read: {error}"
    return ""


def _models(path: Path) -> None:
    load(path, _KeysElsewhere(), datetime.now(UTC))


def _tools(path: Path) -> None:
    threads = ThreadPoolExecutor(1)
    for entry in parse(path.read_text(encoding="utf-8")):
        try:
            if entry.kind == "http":
                HttpRunner(entry, Credentials({}))
            else:
                SqlRunner(entry, path.parent, threads)
        except BadToolsFile as bad:
            raise BadToolsFile(f"tool {entry.name!r}: {bad}") from None


def _agents(path: Path) -> None:
    read_agents(path.read_bytes())


def _limits(path: Path) -> None:
    read_limits(path)


def _keys(path: Path) -> None:
    read_keys(path)


def _policies(path: Path) -> None:
    load_bundle(path)
