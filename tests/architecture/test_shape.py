"""The shape of the tree: the same files in every service, limits on size, names that say something."""

import ast
from pathlib import Path

import pytest

from penstock.contracts.services import SERVICES

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for top in ("libs", "services") for p in (ROOT / top).rglob("*.py"))
MODULE_MAX_LINES = 400
FUNCTION_MAX_LINES = 50
DRAWERS = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "tools_common"}
SAME_FILES = {"__init__.py", "__main__.py", "main.py", "config.py", "handlers.py"}


def test_every_service_has_the_same_files() -> None:
    for name in SERVICES:
        files = {p.name for p in (ROOT / "services" / name).glob("*.py")}
        assert files >= SAME_FILES, f"services/{name} lacks {SAME_FILES - files}"


def test_there_is_a_folder_for_every_service_and_no_other() -> None:
    folders = {p.name for p in (ROOT / "services").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders == set(SERVICES)


def test_every_service_says_what_it_answers_calls_and_keeps() -> None:
    for name in SERVICES:
        doc = ast.get_docstring(ast.parse((ROOT / "services" / name / "__init__.py").read_text())) or ""
        for word in ("Answers:", "Calls:", "Keeps:"):
            assert word in doc, f"services/{name}/__init__.py does not say {word}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_documented_small_and_named_for_what_it_knows(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no module docstring"
    assert len(text.splitlines()) <= MODULE_MAX_LINES
    assert path.stem not in DRAWERS
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_MAX_LINES, f"{node.name} has {length} lines"
        assert not isinstance(node, ast.Global), "global state"


def test_no_subject_is_written_outside_the_table() -> None:
    allowed = {
        ROOT / f"libs/penstock/contracts/{part}.py" for part in ("subjects", "governance", "stores", "api", "endpoint")
    }
    for path in SOURCES:
        if path in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
                starts = text.startswith(("penstock.v1.", "penstock.llm.", "penstock.policy.", "penstock.run."))
                assert not (starts and " " not in text), f"{path.relative_to(ROOT)}:{node.lineno} formats {text!r}"


def test_main_is_about_forty_lines_after_its_imports() -> None:
    for name in SERVICES:
        tree = ast.parse((ROOT / "services" / name / "main.py").read_text())
        own = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)]
        lines = sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in own)
        assert lines <= 45, f"services/{name}/main.py has {lines} lines"
