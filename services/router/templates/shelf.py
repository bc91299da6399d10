"""The templates in use: one file for each name, below one folder. Taken whole, or refused with a sentence."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import yaml

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.llm import Template
from services.router.models.bad_file import first_line, read_text
from services.router.templates.version import BadTemplate, VersionEntry

if TYPE_CHECKING:
    from services.router.templates.template import PromptTemplate

FILES_MAX = 1000
VERSIONS_MAX = 200
VARIABLES_MAX_BYTES = 256 * 1024


class TemplateFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`current`: the version that a request gets which names none. A version that was used stays as it is."""

    current: str
    versions: dict[str, VersionEntry]


class Templates(msgspec.Struct, frozen=True):
    """A snapshot. `by_name`: versions by number, "" is the current one."""

    by_name: "Mapping[str, Mapping[str, PromptTemplate]]" = {}
    digest: str = ""

    def find(self, asked: Template) -> "PromptTemplate":
        """Raises Failure(NOT_FOUND, TOO_LARGE)."""
        if sum(len(raw) for raw in asked.variables.values()) > VARIABLES_MAX_BYTES:
            raise Failure(Code.TOO_LARGE, f"variables of more than {VARIABLES_MAX_BYTES} bytes", param="prompt")
        template = self.by_name.get(asked.name, {}).get(asked.version)
        if template is None:
            shown = f"{asked.name}@{asked.version}" if asked.version else asked.name
            raise Failure(Code.NOT_FOUND, f"there is no prompt template {shown[:80]!r}", param="prompt")
        return template


def load(folder: Path) -> Templates:
    """All files `<name>.yaml` of the folder; none where there is no folder. Raises BadModelsFile."""
    try:
        files = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    except OSError as error:
        raise BadTemplate(f"the prompts folder cannot be read: {error.strerror}") from None
    if len(files) > FILES_MAX:
        raise BadTemplate(f"more than {FILES_MAX} prompt templates")
    digest = hashlib.sha256()
    made: dict[str, Mapping[str, PromptTemplate]] = {}
    for file in files:
        text = read_text(file, "the prompt template")
        digest.update(f"{file.name}\n{len(text)}\n{text}".encode())
        made[file.stem] = _read(file.stem, text)
    return Templates(made, digest.hexdigest())


def _read(name: str, text: str) -> "Mapping[str, PromptTemplate]":
    # the engines of templates and schemas, which only a folder with templates pays for
    from services.router.templates.template import PromptTemplate

    if not is_token(name):
        raise BadTemplate(f"the prompt template {name!r} must be named by letters, digits, - and _")
    try:
        file = msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), TemplateFile)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadTemplate(f"the prompt template {name} is not YAML: {first_line(error)}") from None
    except msgspec.ValidationError as error:
        raise BadTemplate(f"the prompt template {name}: {error}") from None
    if len(file.versions) > VERSIONS_MAX or "" in file.versions:
        raise BadTemplate(f"the prompt template {name} must have 1 to {VERSIONS_MAX} versions, each with a name")
    if file.current not in file.versions:
        raise BadTemplate(f"the prompt template {name}: current is {file.current!r}, which is not under versions")
    versions = {version: PromptTemplate(name, version, entry) for version, entry in file.versions.items()}
    return {**versions, "": versions[file.current]}
