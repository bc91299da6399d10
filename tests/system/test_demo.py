"""The demonstration that a newcomer sees, whole: it checks itself, and this checks that it did."""

import json
from pathlib import Path

import pytest

from tests.support.plane import environment
from tests.support.process import module_process

MINUTES_3 = 180.0


@pytest.mark.timeout(240)
async def test_the_demonstration_holds_from_its_first_scene_to_its_last_within_three_minutes(tmp_path: Path) -> None:
    arguments = ["demo", "--json", "--data", str(tmp_path / "data")]
    async with module_process("penstock.cli", arguments, environment(), MINUTES_3) as demo:
        status = await demo.child.exited()
        lines = [json.loads(line) for line in demo.output.splitlines()]
    claims = [line for line in lines if "claim" in line]
    assert [claim for claim in claims if not claim["holds"]] == []
    assert {claim["scene"] for claim in claims} == set("abcdef")
    assert lines[-1]["holds"]
    assert lines[-1]["took_s"] < MINUTES_3
    assert status == 0
