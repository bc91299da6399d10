"""The documents that the agents may search: the project's own, from its folder or else from the package."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

ALL_MAX_CHARS = 60_000
NAMED_FIRST = ("README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md")


@dataclass(frozen=True)
class Document:
    """`source` is the path as people know it."""

    source: str
    text: str


def own_documents() -> list[Document]:
    """README, ARCHITECTURE and docs/*, as many as fit; in an installed package the descriptions in its modules."""
    root = Path(__file__).parents[3]
    paths = [root / name for name in NAMED_FIRST] + sorted((root / "docs").rglob("*.md"))
    found = [_read(path, root) for path in paths if path.is_file()]
    return _fitting([document for document in found if document.text.strip()] or _of_package())


def _read(path: Path, root: Path) -> Document:
    return Document(str(path.relative_to(root)), path.read_text(encoding="utf-8"))


def _of_package() -> list[Document]:
    contracts = files("penstock.contracts")
    names = ("subjects.py", "endpoint.py", "policy.py", "audit.py", "jobs.py", "runs.py")
    return [Document(f"contracts/{name}", contracts.joinpath(name).read_text(encoding="utf-8")) for name in names]


def _fitting(documents: list[Document]) -> list[Document]:
    kept, used = [], 0
    for document in documents:
        if used + len(document.text) <= ALL_MAX_CHARS:
            kept.append(document)
            used += len(document.text)
    return kept
