"""A bundle for tests: the starter bundle's schema and policies, and some more."""

from pathlib import Path

STARTER = Path(__file__).parents[2] / "services" / "policy" / "bundles" / "starter"


def written(folder: Path, policies: str) -> str:
    """The bundle's folder, for the setting bundle_dir."""
    folder.mkdir(parents=True)
    for name in ("schema.cedarschema", "starter.cedar"):
        (folder / name).write_text((STARTER / name).read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "more.cedar").write_text(policies, encoding="utf-8")
    return str(folder)
