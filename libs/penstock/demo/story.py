"""The demonstration from its first scene to its last, and whether all of it held."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from penstock.cli.screen import Screen
from penstock.contracts.errors import Failure
from penstock.demo import agent, budget, chat, crash, evidence, refusal
from penstock.demo.claims import Claims, breaking_off
from penstock.demo.stage import Stage, staged

BREAKS = (Failure, TimeoutError, RuntimeError, OSError, ValueError, KeyError)


async def tell(root: Path, screen: Screen, environment: Mapping[str, str]) -> bool:
    """True when every claim was checked and holds. Raises StartFailed when the plane does not come up."""
    claims = Claims(screen)
    clock = asyncio.get_running_loop().time
    began = clock()
    async with staged(root, claims, environment) as stage:
        await _scenes(stage)
    claims.summary(clock() - began)
    return claims.hold


async def _scenes(stage: Stage) -> None:
    claims = stage.claims
    answered = ""
    with breaking_off(claims, BREAKS):
        await chat.scene(stage)
    with breaking_off(claims, BREAKS):
        answered = await agent.scene(stage)
    with breaking_off(claims, BREAKS):
        await refusal.scene(stage)
    with breaking_off(claims, BREAKS):
        await budget.scene(stage)
    with breaking_off(claims, BREAKS):
        await crash.scene(stage)
    with breaking_off(claims, BREAKS):
        await evidence.scene(stage, answered)
