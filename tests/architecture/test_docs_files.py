"""The files that the documents show would be taken by the services that read them."""

import re
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from penstock.contracts.errors import FailureBody
from penstock.contracts.jobs import Budget, Job, JobEvent, JobView, TokenFrame
from penstock.contracts.llm import Usage
from services.orchestrator import agents
from services.policy.identity.keys import ApiKey
from services.policy.money.limits import Limit, parse_limits
from services.policy.rulebook import STARTER
from services.policy.rules.bundle_cases import Ask, Case, Who, load_bundle
from services.router.cache.rules import CacheRules
from services.router.models import script
from services.router.models.alias_entry import AliasEntry, RuleEntry, ShareEntry
from services.router.models.deployment import OnDisconnect, Probing, Timeouts
from services.router.models.file import Defaults, DeploymentEntry, ModelsFile, PriceEntry, load
from services.router.templates.shelf import TemplateFile
from services.router.templates.shelf import load as load_templates
from services.router.templates.version import Line, VersionEntry
from services.tool_executor.credentials import Credentials
from services.tool_executor.http import HttpRunner
from services.tool_executor.sql import SqlRunner
from services.tool_executor.toolsfile import Credential, HttpSettings, SqlSettings, ToolEntry, parse

WRITTEN: tuple[type[msgspec.Struct], ...] = (
    *(ModelsFile, Defaults, DeploymentEntry, PriceEntry, Timeouts, OnDisconnect, Probing),
    *(AliasEntry, RuleEntry, ShareEntry, CacheRules, TemplateFile, VersionEntry, Line),
    *(script.Script, script.Rule, script.When, script.Call, script.Counts, script.Fail),
    *(ToolEntry, HttpSettings, SqlSettings, Credential),
    *(agents.Agent, agents.Limits, Limit, ApiKey, Case, Who, Ask),
    *(Job, Budget, JobView, JobEvent, TokenFrame, Usage, FailureBody),
)
"""Everything whose fields the page of files explains."""
KEYS = (
    "ANTHROPIC_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "GEMINI_API_KEY",
    "OPENAI_API_KEY",
    "OPENAI_API_KEY_2",
)
"""What the models files of the documents take from the environment."""
ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^```(yaml|cedar)\n(?:#|//) ([\w.]+\.(?:yaml|cedar))\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#([^)\s]+))?\)")


def shown(name: str) -> list[tuple[str, str]]:
    """(page, text) of each block that begins with a comment of this file name."""
    return [
        (page.name, block[2])
        for page in PAGES
        for block in BLOCK.findall(page.read_text(encoding="utf-8"))
        if block[1] == name
    ]


def test_the_models_files_are_taken(tmp_path: Path) -> None:
    blocks = shown("models.yaml")
    assert blocks
    (tmp_path / "anthropic.key").write_text("sk-made-up")
    for _, text in blocks:
        (tmp_path / "models.yaml").write_text(text)
        environment = dict.fromkeys(KEYS, "sk-made-up")
        assert load(tmp_path / "models.yaml", environment, datetime(2026, 11, 24, tzinfo=UTC)).default_chat == "default"


def test_the_prompt_templates_are_taken(tmp_path: Path) -> None:
    ((_, text),) = shown("greeting.yaml")
    (tmp_path / "greeting.yaml").write_text(text)
    assert set(load_templates(tmp_path).by_name["greeting"]) == {"1", "2", ""}


def test_the_tools_files_are_taken(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "orders.db")) as book:
        book.execute("CREATE TABLE orders (number TEXT, customer TEXT, what TEXT, usd REAL, state TEXT)")
    blocks = shown("tools.yaml")
    assert blocks
    with ThreadPoolExecutor(1) as threads:
        for _, text in blocks:
            for entry in parse(text):
                if entry.kind == "http":
                    HttpRunner(entry, Credentials({}))
                else:
                    SqlRunner(entry, tmp_path, threads)


def test_the_agents_and_accounts_files_are_taken() -> None:
    written, accounts = shown("agents.yaml"), shown("accounts.yaml")
    assert written and accounts
    for _, text in written:
        assert agents.read_agents(text.encode())
    for _, text in accounts:
        parse_limits(text)


def test_the_policies_are_taken_and_pass_the_tests_beside_them(tmp_path: Path) -> None:
    shutil.copytree(STARTER, tmp_path / "bundle")
    added = [
        block for page in PAGES for block in BLOCK.findall(page.read_text(encoding="utf-8")) if block[0] == "cedar"
    ]
    assert len(added) >= 3
    for _, name, text in added:
        (tmp_path / "bundle" / name).write_text(text)
    with (tmp_path / "bundle" / "tests.yaml").open("a") as tests:
        tests.writelines(text for _, text in shown("tests.yaml"))
    load_bundle(tmp_path / "bundle")


def test_the_tutorial_shows_its_files_as_they_are() -> None:
    page = (ROOT / "docs" / "tutorial" / "first-agent.md").read_text(encoding="utf-8")
    example = ROOT / "examples" / "03_agent_with_tools"
    assert (example / "agents.yaml").read_text() in page
    tools = (example / "tools.yaml").read_text()
    assert tools[tools.index("  - name: cancel_orders") :] in page
    starter = (STARTER / "starter.cedar").read_text()
    rule = starter[starter.index('@id("destructive-tools")') :]
    assert rule[: rule.index("\n\n")] in page


@pytest.mark.parametrize("page", [*PAGES, *sorted(ROOT.glob("*.md"))], ids=lambda page: page.name)
def test_every_link_to_a_page_or_a_file_leads_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve()
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{path}#{anchor}"


def _anchor(heading: str) -> str:
    """As code forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_samples_of_jobs_are_jobs() -> None:
    page = (ROOT / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    samples = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert samples
    for sample in samples:
        msgspec.json.decode(sample, type=Job)


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}")
def test_the_page_of_files_names_every_field(kind: type[msgspec.Struct]) -> None:
    page = (ROOT / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    code = set(re.findall(r"[a-z_][a-z0-9_]*", " ".join(re.findall(r"`([^`\n]+)`", page))))
    assert set(kind.__struct_fields__) - code == set()
