"""The models file: deployments named once, aliases that choose among them. Taken whole, or refused with a sentence."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec
import yaml

from services.router.models.alias_entry import AliasEntry, aliases, named
from services.router.models.bad_file import BadModelsFile, first_line, read_text
from services.router.models.catalogue import Alias, Catalogue
from services.router.models.deployment import Kind
from services.router.models.deployment_entry import DeploymentEntry, PriceEntry


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The aliases used where a job names none."""

    chat: str = ""
    embed: str = ""


class ModelsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. An alias that is a list is tried in that order."""

    deployments: dict[str, DeploymentEntry]
    aliases: dict[str, list[str] | AliasEntry]
    default: Defaults = Defaults()

    def entry(self, alias: str) -> AliasEntry:
        """What its list is short for."""
        written = self.aliases[alias]
        return AliasEntry(written) if isinstance(written, list) else written


def load(path: Path, env: Mapping[str, str], at: datetime) -> Catalogue:
    """Reads the file, its scripts and the keys it names. `at`: whose day's prices. Raises BadModelsFile."""
    text = read_text(path, "the models file")
    try:
        raw = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadModelsFile(f"the models file is not YAML: {first_line(error)}") from None
    try:
        file = msgspec.convert(raw, ModelsFile)
    except msgspec.ValidationError as error:
        raise BadModelsFile(f"the models file: {error}") from None
    return build(file, env, path.parent, at)


def build(file: ModelsFile, env: Mapping[str, str], folder: Path, at: datetime) -> Catalogue:
    """The snapshot that the file's content makes. Raises BadModelsFile."""
    deployments = {name: entry.made(name, env, folder, at) for name, entry in file.deployments.items()}
    entries = {name: file.entry(name) for name in file.aliases}
    made = aliases(entries, deployments)
    used = {name for entry in entries.values() for name in named(entry)}
    if unused := sorted(set(deployments) - used):
        raise BadModelsFile(f"no alias lists the deployment {unused[0]}: list it under aliases, or remove it")
    _check_default("chat", file.default.chat, made)
    _check_default("embeddings", file.default.embed, made)
    ids = "".join(sorted(deployment.id for deployment in deployments.values()))
    digest = hashlib.sha256(msgspec.json.encode([file.aliases, file.default]) + ids.encode())
    return Catalogue(made, file.default.chat, file.default.embed, digest.hexdigest()[:12])


def _check_default(kind: Kind, name: str, made: Mapping[str, Alias]) -> None:
    if name and (name not in made or kind not in made[name].kinds):
        raise BadModelsFile(f"default: {name} is not an alias that does {kind}")


__all__ = ["BadModelsFile", "Defaults", "DeploymentEntry", "ModelsFile", "PriceEntry", "build", "load"]
