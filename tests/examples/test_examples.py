"""Every example, and every program that the documents show, as a subprocess beside one plane with a scripted model."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import penstock
from penstock.client.profile import read_profile
from tests.support.eventually import eventually
from tests.support.plane import COMMAND_S, PlaneProcess, environment
from tests.support.process import ROOT

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

EXAMPLES = ROOT / "examples"
AGENT = EXAMPLES / "03_agent_with_tools"
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PlaneProcess]:
    """Set up as the third example says."""
    plane = PlaneProcess(tmp_path_factory.mktemp("plane") / "data")
    config = plane.root / "config"
    config.mkdir(parents=True, mode=0o700)
    for file in AGENT.glob("*.yaml"):
        shutil.copy(file, config)
    (plane.root.parent / ".penstock").symlink_to(plane.root)  # where the documents' programs look for it
    await python(plane, str(AGENT / "order_book.py"), str(config / "orders.db"))
    try:
        await plane.start()
        yield plane
    finally:
        await plane.child.kill()


async def python(plane: PlaneProcess, *arguments: str) -> str:
    """What a program prints that ends well."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=pipe,
        stderr=pipe,
        env=environment() | {"PENSTOCK_DATA": str(plane.root)},
        cwd=plane.root.parent,
    )
    async with asyncio.timeout(COMMAND_S):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert errors.decode() == ""
    return output.decode()


def shown_programs(page: str) -> list[str]:
    """The Python programs that a document shows."""
    return PYTHON_BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


async def test_an_openai_client_lists_models_streams_an_answer_and_sees_what_it_cost(plane: PlaneProcess) -> None:
    output = await python(plane, str(EXAMPLES / "01_chat_openai_client.py"), "Why is the sky blue?")
    assert "models: default\n" in output
    assert "The scripted model has heard: Why is the sky blue?\n" in output
    assert "x-penstock-deployment: scripted\n" in output
    assert "x-penstock-cost-usd: 0.0000" in output


async def test_a_published_job_is_followed_to_its_result(plane: PlaneProcess) -> None:
    output = await python(plane, str(EXAMPLES / "02_job_over_nats.py"), "Hello there")
    assert "event 0: accepted" in output
    assert "The scripted model has heard: Hello there\n" in output
    assert "completed: 2 steps" in output


async def test_an_agent_calls_one_tool_is_refused_another_and_the_log_says_by_which_policy(plane: PlaneProcess) -> None:
    output = await python(plane, str(AGENT / "run.py"))
    assert 'answered: These are open: [{"number":"M-1001"' in output
    assert "tool-1-1: cancel_orders -> denied" in output
    assert "I was told: denied: destructive tools need the scope tools:destructive" in output
    assert 'Tool::"cancel_orders" denied by destructive-tools' in output


async def test_a_job_whose_worst_case_does_not_fit_its_budget_is_refused_before_anything_is_used(
    plane: PlaneProcess,
) -> None:
    output = await python(plane, str(EXAMPLES / "04_budget.py"))
    assert "a budget of 5000 tokens: completed" in output
    assert "a budget of 20 tokens: failed, 0 tokens used" in output
    assert "budget_exhausted: run:" in output


async def test_a_copy_of_the_log_verifies_until_one_bit_of_it_is_changed(plane: PlaneProcess) -> None:
    output = await python(plane, str(EXAMPLES / "05_verify_log.py"), str(plane.root / "audit"))
    assert "penstock.decision.v1  model.complete  allow" in output
    assert "a copy: exit status 0: whole:" in output
    assert "one bit of it changed: exit status 6: NOT whole:" in output


async def test_the_programs_in_the_readme_work_as_they_are_written(plane: PlaneProcess) -> None:
    profile = read_profile(plane.root / "profile.json")
    chat, job = shown_programs("README.md")
    chat = chat.replace("http://127.0.0.1:8080", profile.http_url).replace("psk_...", profile.key())
    assert await python(plane, "-c", chat) == "The scripted model has heard: Hello"
    assert await python(plane, "-c", job) == "The scripted model has heard: Why is the sky blue?"


async def test_the_program_of_the_nats_page_works_with_a_plain_client(plane: PlaneProcess) -> None:
    (program,) = shown_programs("docs/how-to/use-nats-from-another-language.md")
    output = await python(plane, "-c", program)
    assert 'stored: {"stream":"JOBS"' in output
    assert "event 0: accepted" in output
    assert "token: heard: " in output
    assert "completed The scripted model has heard: Why is the sky blue?" in output


async def test_the_operators_program_reads_a_dead_letter_with_its_reason(plane: PlaneProcess) -> None:
    profile = read_profile(plane.root / "profile.json")
    # nobody's token: the job is put away
    stranger = await penstock.Penstock.connect(profile.url, api_key=profile.key(), token="nothing")
    async with stranger:
        await stranger.publish(penstock.job("chat", "a job without a token", id="job_stranger"))
        with pytest.raises(penstock.Failure, match="token"):
            await stranger.wait("job_stranger", timeout_s=1)
    (program,) = shown_programs("docs/how-to/operate.md")

    async def put_away() -> None:
        output = await python(plane, "-c", program)
        assert "'Nats-Service-Error-Code': 'unauthenticated'" in output
        assert "a job without a token" in output

    await eventually(put_away, within_s=20)


async def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    for example in sorted(EXAMPLES.glob("0*")):
        assert f'"{example.name}"' in text, example.name
