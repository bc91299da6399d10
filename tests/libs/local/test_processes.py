"""The supervisor over real processes: order, crashes, giving up, and that nothing is left behind."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.local.broker import Broker, BrokerSettings
from penstock.local.child import Command, StartFailed
from penstock.local.processes import GaveUp, Notice, Program, Restarts, Supervisor, answers, says
from penstock.local.store import Store, StoreSettings
from tests.support.eventually import eventually
from tests.support.nats_server import DEFAULT_CONFIG
from tests.support.process import module_process

RUNS = "import time; print('ready', flush=True); time.sleep(60)"
FAST = Restarts(first_pause_s=0.01, longest_pause_s=0.02, at_most=3)


async def test_stages_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    told: list[str] = []
    first, second = _program(tmp_path, "first", RUNS), _program(tmp_path, "second", RUNS)
    stop = asyncio.Event()
    await Supervisor([[first], [second]], _note(told)).run(stop, ready=stop.set)
    assert told == ["first ready", "second ready", "second stopped", "first stopped"]
    assert not first.child.running
    assert not second.child.running


async def test_a_part_that_crashes_is_started_again(tmp_path: Path) -> None:
    told: list[str] = []
    part = _program(tmp_path, "part", RUNS)
    stop, ready = asyncio.Event(), asyncio.Event()
    run = asyncio.create_task(Supervisor([[part]], _note(told), FAST).run(stop, ready.set))
    await ready.wait()
    first = part.child.pid
    os.kill(first, signal.SIGKILL)

    async def back() -> None:
        assert part.child.pid != first
        assert told[-1] == "part ready"

    await eventually(back)
    stop.set()
    await run
    assert told == ["part ready", "part ended", "part ready", "part stopped"]


async def test_a_part_that_keeps_crashing_is_given_up_and_the_others_are_stopped(tmp_path: Path) -> None:
    seen_ready = tmp_path / "seen_ready"
    crashes = (
        "import pathlib, time\n"
        "print('ready', flush=True)\n"
        f"while not pathlib.Path({str(seen_ready)!r}).exists(): time.sleep(0.01)\n"
        "raise SystemExit(7)"
    )
    good, bad = _program(tmp_path, "good", RUNS), _program(tmp_path, "bad", crashes)
    supervisor = Supervisor([[good], [bad]], lambda _: None, FAST)
    with pytest.raises(GaveUp, match=r"bad ended 4 times in a row\. The last time: it ended with 7"):
        await supervisor.run(asyncio.Event(), ready=seen_ready.touch)
    assert not good.child.running


async def test_a_part_that_does_not_come_up_at_first_stops_those_that_did(tmp_path: Path) -> None:
    told: list[str] = []
    good, bad = _program(tmp_path, "good", RUNS), _program(tmp_path, "bad", "raise SystemExit('no config')")
    with pytest.raises(StartFailed, match="no config"):
        await Supervisor([[good], [bad]], _note(told)).run(asyncio.Event())
    assert told == ["good ready", "good stopped"]
    assert not good.child.running


async def test_a_stop_while_parts_are_still_starting_leaves_none(tmp_path: Path) -> None:
    good, slow = _program(tmp_path, "good", RUNS), _program(tmp_path, "slow", "import time; time.sleep(60)")
    stop = asyncio.Event()

    def told(notice: Notice) -> None:
        if notice == Notice("good", "ready"):
            stop.set()

    await Supervisor([[good], [slow]], told).run(stop)
    assert not good.child.running
    assert slow.child.returncode in (None, -signal.SIGKILL)


async def test_a_broker_and_a_store_that_are_killed_come_back_at_their_addresses(tmp_path: Path) -> None:
    config = tmp_path / "nats.conf"
    config.write_text(DEFAULT_CONFIG)
    broker = Broker(BrokerSettings(config, tmp_path, store=tmp_path / "streams"))
    store = Store(StoreSettings(tmp_path / "store"))
    told: list[str] = []
    stop, ready = asyncio.Event(), asyncio.Event()
    run = asyncio.create_task(Supervisor([[broker, store]], _note(told), FAST).run(stop, ready.set))
    await ready.wait()
    addresses = (broker.url, store.url)
    for child in (broker.child, store.child):
        os.kill(child.pid, signal.SIGKILL)

    async def back() -> None:
        assert told.count("broker ready") == told.count("store ready") == 2

    await eventually(back)
    assert (broker.url, store.url) == addresses
    stop.set()
    await run


async def test_a_program_is_ready_when_its_url_answers(tmp_path: Path) -> None:
    async with module_process("http.server", ["--bind", "127.0.0.1", "0"]) as server:
        port = (await server.says(r"port (\d+)")).group(1)
        ready = answers(f"http://127.0.0.1:{port}/")
        assert await ready(server.child) is True
        await server.kill()
        assert await ready(server.child) is False


def test_pauses_double_up_to_the_longest() -> None:
    restarts = Restarts(first_pause_s=0.5, longest_pause_s=3.0)
    assert [restarts.pause_s(n) for n in (1, 2, 3, 4, 5000)] == [0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_supervising_process_stops_all(tmp_path: Path, number: signal.Signals) -> None:
    async with module_process("tests.support.supervised", [str(tmp_path)]) as parent:
        pid = int((await parent.says(r"up (\d+)")).group(1))
        os.kill(parent.child.pid, number)
        assert await asyncio.wait_for(parent.child.exited(), 10) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def _program(folder: Path, name: str, code: str) -> Program:
    command = Command(name, (sys.executable, "-c", code), folder / f"{name}.log")
    return Program(command, says("^ready$"), ready_timeout_s=10, grace_s=5)


def _note(told: list[str]) -> Callable[[Notice], None]:
    return lambda notice: told.append(f"{notice.part} {notice.what}")
