"""The files of a bundle: which there may be, how large, and the version that they are. A bundle is refused whole."""

import hashlib
from pathlib import Path

BUNDLE_MAX_BYTES = 1024 * 1024
FILES_MAX = 200
SCHEMA_FILE = "schema.cedarschema"
TESTS_FILE = "tests.yaml"
TOOLS_FILE = "tools.json"
OTHER_FILES = (SCHEMA_FILE, TESTS_FILE, TOOLS_FILE)


class BundleRefused(Exception):
    """A bundle that may not be used, with a sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def read_sources(folder: Path) -> dict[str, str]:
    """Every file of a bundle, by name, in the order of names. Raises BundleRefused."""
    try:
        paths = [path for path in sorted(folder.iterdir()) if path.suffix == ".cedar" or path.name in OTHER_FILES]
        if sum(path.stat().st_size for path in paths) > BUNDLE_MAX_BYTES:
            raise BundleRefused([f"the bundle is larger than {BUNDLE_MAX_BYTES} bytes"])
        return {path.name: path.read_text(encoding="utf-8") for path in paths}
    except OSError as error:
        raise BundleRefused([f"the bundle {folder} cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise BundleRefused([f"the bundle {folder} has a file that is not UTF-8"]) from error


def check_sources(files: dict[str, str]) -> dict[str, str]:
    """The files in the order of names. Raises BundleRefused for what is no file of a bundle, and for too much."""
    if len(files) > FILES_MAX or sum(len(text.encode()) for text in files.values()) > BUNDLE_MAX_BYTES:
        raise BundleRefused([f"a bundle has at most {FILES_MAX} files and {BUNDLE_MAX_BYTES} bytes"])
    strange = [name for name in files if name not in OTHER_FILES and not _is_policies(name)]
    if strange:
        raise BundleRefused([f"{name[:80]!r} is no file of a bundle" for name in strange])
    return dict(sorted(files.items()))


def version_of(files: dict[str, str]) -> str:
    """Digest over names and contents, tests included."""
    digest = hashlib.sha256()
    for name, text in sorted(files.items()):
        content = text.encode()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _is_policies(name: str) -> bool:
    return name.endswith(".cedar") and "/" not in name and name.isprintable() and len(name) <= 100
