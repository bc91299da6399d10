"""The bundles that come with the service: sound, short, of one schema and one set of rules for administration."""

from pathlib import Path

import pytest

from penstock.kit.obligations import KNOWN
from services.policy.rulebook import SHIPPED, STARTER, bundle_folder
from services.policy.rules.bundle_cases import load_bundle

NAMES = ("hipaa", "soc2", "starter", "strict")


def test_there_are_four() -> None:
    assert tuple(sorted(path.name for path in SHIPPED.iterdir() if path.is_dir())) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_passes_its_own_tests_and_none_of_its_policies_is_idle(name: str) -> None:
    assert load_bundle(SHIPPED / name, KNOWN).warnings == ()


@pytest.mark.parametrize("name", NAMES)
def test_each_is_short_enough_to_read(name: str) -> None:
    assert len((SHIPPED / name / f"{name}.cedar").read_text().splitlines()) < 80


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_of_it_is_named_in_a_case(name: str) -> None:
    cases = (SHIPPED / name / "tests.yaml").read_text()
    bundle = load_bundle(SHIPPED / name, KNOWN)
    forbids = {rule.id for rule in bundle.parsed.rules.values() if not rule.permits and not rule.shadow}
    own = {line.split('"')[1] for line in (SHIPPED / name / f"{name}.cedar").read_text().splitlines() if "@id(" in line}
    assert {rule for rule in forbids & own if f"policy: {rule}" not in cases} == set()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", ["schema.cedarschema", "admin.cedar"])
def test_all_share_the_schema_and_the_rules_of_administration(name: str, file: str) -> None:
    assert (SHIPPED / name / file).read_bytes() == (STARTER / file).read_bytes()


def test_a_bundle_is_chosen_by_its_name_or_by_its_folder(tmp_path: Path) -> None:
    assert bundle_folder("") == STARTER
    assert bundle_folder("strict") == SHIPPED / "strict"
    assert bundle_folder(str(tmp_path)) == tmp_path
    assert bundle_folder("..") == Path("..")
