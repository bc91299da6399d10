"""`penstock up` as its user has it: one process to start and stop, commands beside it, data that stay."""

import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

import penstock
from penstock.cli.exits import Exit
from penstock.client.profile import read_profile
from penstock.contracts.errors import Code, Failure
from penstock.contracts.services import SERVICES
from tests.support.eventually import eventually
from tests.support.plane import PlaneProcess, plane_process, write_scripted_models

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PlaneProcess]:
    """One for the tests that leave it as it was."""
    async with plane_process(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


async def test_a_plane_carries_out_a_chat_job_shows_its_evidence_and_keeps_it_over_a_restart(tmp_path: Path) -> None:
    async with plane_process(tmp_path) as plane:
        assert set(plane.state.pids) == set(SERVICES)
        chat = await plane.penstock("chat", "hello")
        assert chat.status == Exit.OK
        assert _text(chat.values) == "You said: hello"
        job = _job(chat.values)
        trail = await plane.penstock("audit", "trail", job)
        assert trail.status == Exit.OK
        records = len(trail.values)
        assert records >= 4
        doctor = await plane.penstock("doctor")
        assert [finding for finding in doctor.values if finding["state"] == "bad"] == []
        assert doctor.status == Exit.OK

        pids = set(plane.state.pids.values())
        plane.child.terminate()
        assert await plane.child.exited() == 0
        assert not (plane.root / "state.json").exists()
        await eventually(lambda: _none_runs(pids, plane.root))

        await plane.start()
        again = await plane.penstock("job", job)
        assert again.status == Exit.OK
        listed = await plane.penstock("jobs")
        assert job in str(listed.values)
        assert len((await plane.penstock("audit", "trail", job)).values) >= records
        assert (await plane.penstock("audit", "verify")).status == Exit.OK
        assert (await plane.penstock("chat", "again")).status == Exit.OK


async def test_refusals_have_exit_statuses_that_scripts_can_tell_apart(plane: PlaneProcess) -> None:
    assert (await plane.penstock("job", "job_nobody")).status == Exit.NOT_FOUND
    assert (await plane.penstock("follow", "job_nobody")).status == Exit.NOT_FOUND
    assert (await plane.penstock("submit", "tool", "not json", "--tool", "x")).status == Exit.USAGE
    no_model = await plane.penstock("submit", "chat", "hello", "--model", "none", "--wait")
    assert no_model.status == Exit.FAILED
    assert "there is no model 'none'" in str(no_model.values[-1])


async def test_a_key_may_do_what_its_scopes_say_and_nothing_once_it_is_revoked(plane: PlaneProcess) -> None:
    made = (await plane.penstock("keys", "create", "narrow", "--scope", "job.read")).values[0]
    key_file = plane.root / "keys" / "cli-api-key"
    own = key_file.read_text(encoding="utf-8")
    key_file.write_text(str(made["key"]), encoding="utf-8")

    async def narrow() -> None:
        denied = await plane.penstock("submit", "chat", "hello")
        assert denied.status == Exit.DENIED
        assert "job.submit" in str(denied.values)

    async def revoked() -> None:
        refused = await plane.penstock("jobs")
        assert refused.status == Exit.DENIED
        assert "unauthenticated" in str(refused.values)

    try:
        await eventually(narrow, within_s=20)
        assert (await plane.penstock("keys", "revoke", str(made["id"]))).status == Exit.OK
        await eventually(revoked, within_s=20)
    finally:
        key_file.write_text(own, encoding="utf-8")


async def test_a_job_that_is_cancelled_ends_so_for_whoever_follows_it(plane: PlaneProcess) -> None:
    job = _job((await plane.penstock("submit", "chat", "for ever")).values)
    assert (await plane.penstock("cancel", job, "--wait")).status == Exit.OK
    assert (await plane.penstock("follow", job)).status == Exit.CANCELLED


async def test_interrupting_a_chat_cancels_its_job(plane: PlaneProcess) -> None:
    chat = plane.command("chat", "for ever")
    chat.start()
    try:
        job = await plane.first_job(chat)
        chat.signal(signal.SIGINT)
        assert await chat.exited() == Exit.CANCELLED
    finally:
        await chat.kill()
    assert (await plane.penstock("job", job)).status == Exit.CANCELLED


async def test_a_second_plane_in_the_same_folder_is_refused_with_a_sentence(plane: PlaneProcess) -> None:
    second = await plane.penstock("up", "--no-model")
    assert second.status == Exit.USAGE
    assert "A plane already runs from" in str(second.values)
    assert (await plane.penstock("jobs")).status == Exit.OK


async def test_a_program_connects_with_the_profile_that_the_plane_leaves(plane: PlaneProcess) -> None:
    profile = read_profile(plane.root / "profile.json")
    async with await penstock.connect(profile) as client:
        view = await client.run(penstock.job("chat", "from a program"), timeout_s=30)
    assert view.state == "completed"
    assert b"You said: from a program" in bytes(view.output)


async def test_another_tenants_program_sees_nothing_of_the_first(plane: PlaneProcess) -> None:
    job = _job((await plane.penstock("submit", "chat", "a secret of ours")).values)
    made = (await plane.penstock("keys", "create", "--tenant", "acme")).values[0]
    theirs = read_profile(plane.root / "profile-acme.json")
    async with await penstock.connect(msgspec.structs.replace(theirs, api_key=str(made["key"]))) as acme:

        async def own_key_is_taken() -> None:
            assert (await acme.run(penstock.job("chat", "hello"), timeout_s=30)).state == "completed"

        await eventually_taken(own_key_is_taken)
        with pytest.raises(Failure, match="not_found"):
            await acme.get(job)
        with pytest.raises(Failure, match="not_found"):
            await acme.cancel(job)
        assert job not in str(await acme.list())
        assert (await acme.trail(job=job)).entries == []


async def test_kill_9_of_the_plane_leaves_no_process_and_the_next_start_has_the_data(tmp_path: Path) -> None:
    async with plane_process(tmp_path) as plane:
        job = _job((await plane.penstock("submit", "chat", "slowly", "--publish")).values)
        pids = set(plane.state.pids.values())
        os.kill(plane.child.pid, signal.SIGKILL)
        await plane.child.exited()
        await eventually(lambda: _none_runs(pids, plane.root))
        await plane.start()
        followed = await plane.penstock("follow", job)
        assert followed.status == Exit.OK
        view = followed.values[-1]["job"]
        assert isinstance(view, dict)
        assert view["output"]["text"] == "one two three four five six seven eight"


async def test_a_file_that_a_service_refuses_is_named_and_nothing_is_left_running(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_scripted_models(root)
    (root / "config" / "tools.yaml").write_text("tools: [{name: x}]", encoding="utf-8")
    plane = PlaneProcess(root)
    ran = await plane.penstock("up", "--no-model", "--free-ports")
    assert ran.status == Exit.UNAVAILABLE
    assert {"file": str(root / "config" / "tools.yaml")}.items() <= _problem(ran.values).items()
    assert "tool_executor did not start" in str(ran.values[-1])
    await eventually(lambda: _none_runs(set(), root))


async def test_a_port_that_is_taken_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = await PlaneProcess(tmp_path / "data").penstock("up", "--http-port", str(port))
    assert ran.status == Exit.USAGE
    assert f"port {port} is in use" in str(ran.values)


def _problem(values: list[dict[str, object]]) -> dict[str, object]:
    return next(value for value in values if "problem" in value)


def _text(values: list[dict[str, object]]) -> str:
    frames = [value["token"] for value in values if "token" in value]
    return "".join(str(frame.get("text", "")) for frame in frames if isinstance(frame, dict))


def _job(values: list[dict[str, object]]) -> str:
    submitted = values[0]["submitted"]
    assert isinstance(submitted, dict)
    return str(submitted["id"])


async def _none_runs(pids: set[int], root: Path) -> None:
    """Neither the services nor anything else that was started with this folder's name."""
    for pid in pids:
        assert not _alive(pid)
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in listed.splitlines() if str(root) in line] == []


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def eventually_taken(ask: Callable[[], Awaitable[None]]) -> None:
    """A new key is refused until policy has read its file again."""

    async def asked() -> None:
        try:
            await ask()
        except Failure as failure:
            assert failure.code is not Code.UNAUTHENTICATED, failure
            raise

    await eventually(asked, within_s=20)
