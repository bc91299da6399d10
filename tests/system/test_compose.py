"""compose.yaml with real containers, looked at from outside (`make compose-test`); the tests need their order."""

import json
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from penstock.cli.offline import verify_folder
from penstock.contracts.audit import Verified
from penstock.contracts.jobs import FINAL, JobEvent, JobView
from penstock.contracts.services import SERVICES
from penstock.local.ports import choose_ports
from tests.support.compose import Compose, composed, docker
from tests.support.eventually import eventually

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

LONG_RUNNING = (*SERVICES, "nats", "store", "prometheus")
SAID = "This is the scripted model, which has heard: "
SPENT = """
import pathlib, redis
store = redis.Redis.from_url(pathlib.Path("/var/lib/penstock/store-url").read_text())
print(sum(int(store.hget(pot, "nano") or 0) for pot in store.scan_iter("penstock:{default}:pot:*")))
"""
PROMETHEUS_IMAGE = "prom/prometheus:v3.5.3"


class Plane:
    """The project and where it is reached."""

    def __init__(self, compose: Compose, http_url: str, prometheus_url: str) -> None:
        self.compose = compose
        self.http_url = http_url
        self.prometheus_url = prometheus_url
        self.key = compose.run(
            "run", "--rm", "-T", "--entrypoint", "cat", "cli", "/var/lib/penstock/keys/api-key-default"
        ).strip()

    def client(self, key: str = "") -> httpx.AsyncClient:
        """Of the gateway, with the operator's key or another one."""
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx.AsyncClient(base_url=self.http_url, headers=headers, timeout=30.0)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    ports = choose_ports(tmp_path_factory.mktemp("compose") / "ports.json", {"http": 0, "prometheus": 0}, {})
    settings = {
        "PENSTOCK_HTTP": f"127.0.0.1:{ports['http']}",
        "PENSTOCK_PROMETHEUS_PORT": str(ports["prometheus"]),
        "PENSTOCK_IMAGES": "penstock-test",
    }
    with composed(f"penstock-test-{secrets.token_hex(3)}", settings, show=LONG_RUNNING) as compose:
        yield Plane(compose, f"http://127.0.0.1:{ports['http']}", f"http://127.0.0.1:{ports['prometheus']}")


@pytest.fixture
async def http(plane: Plane) -> AsyncIterator[httpx.AsyncClient]:
    async with plane.client() as client:
        yield client


def chat(text: str, stream: bool = False) -> dict[str, object]:
    return {"model": "default", "stream": stream, "messages": [{"role": "user", "content": text}]}


async def ask(http: httpx.AsyncClient, text: str) -> str:
    answer = await http.post("/v1/chat/completions", json=chat(text))
    assert answer.status_code == 200, answer.text
    said: str = answer.json()["choices"][0]["message"]["content"]
    return said


async def submit(http: httpx.AsyncClient, job: dict[str, object]) -> str:
    answer = await http.post("/v1/jobs", json=job)
    assert answer.status_code == 202, answer.text
    id: str = answer.json()["id"]
    return id


async def ended(http: httpx.AsyncClient, id: str, within_s: float = 30.0) -> JobView:
    async def over() -> JobView:
        answer = await http.get(f"/v1/jobs/{id}")
        assert answer.status_code == 200, answer.text
        view = msgspec.json.decode(answer.content, type=JobView)
        assert view.state in FINAL, view.state
        return view

    return await eventually(over, within_s, every_s=0.2)


async def events(http: httpx.AsyncClient, id: str) -> list[JobEvent]:
    answer = await http.get(f"/v1/jobs/{id}/events")
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [msgspec.json.decode(line, type=JobEvent) for line in lines]


def text_of(view: JobView) -> str:
    said: str = json.loads(bytes(view.output))["text"]
    return said


async def watched(plane: Plane, query: str) -> dict[str, str]:
    """The value for each service."""
    async with httpx.AsyncClient(timeout=10.0) as client:
        answer = await client.get(f"{plane.prometheus_url}/api/v1/query", params={"query": query})
    found = answer.json()["data"]["result"]
    return {each["metric"]["service"]: each["value"][1] for each in found}


def spent_nano(plane: Plane) -> int:
    """What the balances in the store say was spent, 10^-9 USD; asked as the policy service."""
    return int(plane.compose.run("exec", "-T", "policy", "python", "-c", SPENT))


def test_every_container_runs_without_rights_on_a_root_that_cannot_be_written(plane: Plane) -> None:
    for name in LONG_RUNNING:
        container = plane.compose.look(name)
        assert container.state.status == "running", name
        assert container.config.user == "10001:10001", name
        assert container.host_config.readonly_rootfs, name
        assert container.host_config.cap_drop == ["ALL"], name
        assert container.host_config.security_opt == ["no-new-privileges:true"], name
        assert container.host_config.memory > 0, name
        assert container.restart_count == 0, name
    for name in ("prepare", "setup"):
        assert plane.compose.look(name).state.exit_code == 0


def test_no_secret_stands_in_any_containers_environment(plane: Plane) -> None:
    passwords = [
        plane.compose.run("exec", "-T", name, "cat", "/var/lib/penstock/store-url").split(":")[2].split("@")[0]
        for name in ("policy", "context", "tool_executor")
    ]
    seeds = [plane.compose.run("exec", "-T", name, "cat", "/var/lib/penstock/nkey.seed").strip() for name in SERVICES]
    assert len({*passwords, *seeds}) == 3 + 7
    for name in (*LONG_RUNNING, "prepare", "setup"):
        environment = "\n".join(plane.compose.look(name).config.env)
        for secret in (*passwords, *seeds, plane.key):
            assert secret not in environment, name


def test_only_the_gateway_and_prometheus_can_be_reached_and_only_from_this_machine(plane: Plane) -> None:
    assert plane.compose.published() == {("gateway", "127.0.0.1", 8080), ("prometheus", "127.0.0.1", 9090)}


def test_only_four_containers_are_on_a_network_that_is_not_internal(plane: Plane) -> None:
    internal = {}
    for name in ("plane", "edge", "outside", "watch"):
        told = docker("network", "inspect", "-f", "{{.Internal}}", f"{plane.compose.project}_{name}")
        internal[f"{plane.compose.project}_{name}"] = told.strip() == "true"
    assert list(internal.values()) == [True, False, False, False]
    beyond = set()
    for name in LONG_RUNNING:
        networks = plane.compose.look(name).network_settings.networks
        if not all(internal[network] for network in networks):
            beyond.add(name)
    assert beyond == {"gateway", "router", "tool_executor", "prometheus"}


async def test_a_chat_is_answered_plain_and_says_what_it_cost(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/chat/completions", json=chat("good morning"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == SAID + "good morning"
    assert answer.json()["usage"]["total_tokens"] > 0
    assert float(answer.headers["x-penstock-cost-usd"]) > 0


async def test_a_chat_is_streamed_in_pieces(http: httpx.AsyncClient) -> None:
    pieces: list[str] = []
    ends: list[str] = []
    async with http.stream("POST", "/v1/chat/completions", json=chat("good evening", stream=True)) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line == "data: [DONE]":
                ends.append(line)
            elif line.startswith("data: "):
                choices = json.loads(line.removeprefix("data: "))["choices"]
                pieces += [choice["delta"].get("content") or "" for choice in choices]
    assert "".join(pieces) == SAID + "good evening"
    assert len([piece for piece in pieces if piece]) >= 5
    assert ends == ["data: [DONE]"]


async def test_a_wrong_key_is_refused(plane: Plane) -> None:
    async with plane.client("psk_0123456789ab_wrong") as client:
        answer = await client.post("/v1/chat/completions", json=chat("hello"))
    assert answer.status_code == 401


async def test_a_job_published_onto_nats_is_carried_out(plane: Plane, http: httpx.AsyncClient) -> None:
    told = plane.compose.cli("submit", "chat", "from the bus", "--publish", "--wait", "--json").splitlines()
    id = next(line["submitted"]["id"] for line in map(json.loads, told) if "submitted" in line)
    view = await ended(http, id)
    assert (view.state, text_of(view)) == ("completed", SAID + "from the bus")


async def test_a_job_submitted_over_http_tells_its_life_as_events(http: httpx.AsyncClient) -> None:
    id = await submit(http, {"kind": "chat", "input": "over the edge"})
    assert (await ended(http, id)).state == "completed"
    told = await events(http, id)
    assert [event.n for event in told] == list(range(len(told)))
    assert (told[0].type, told[-1].type) == ("accepted", "completed")


async def test_an_agent_calls_a_tool_that_is_allowed(http: httpx.AsyncClient) -> None:
    view = await ended(http, await submit(http, {"kind": "agent", "agent": "watchman", "input": "What is wrong?"}))
    assert view.state == "completed"
    assert text_of(view).startswith('Prometheus says: {"status":"success"')


async def test_a_tool_that_policy_refuses_is_never_called_and_the_agent_is_told_why(
    plane: Plane, http: httpx.AsyncClient
) -> None:
    id = await submit(http, {"kind": "agent", "agent": "watchman", "input": "Forget the past."})
    view = await ended(http, id)
    assert view.state == "completed"
    assert "destructive tools need the scope tools:destructive" in text_of(view)
    refused = [event for event in await events(http, id) if event.name == "delete_metrics" and event.error]
    assert [event.error.code for event in refused if event.error] == ["denied"]
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"{plane.prometheus_url}/metrics")).text
    asked = [line for line in metrics.splitlines() if "delete_series" in line and line.startswith("prometheus_http")]
    assert all(line.split()[-1] == "0" for line in asked)


async def test_a_document_is_taken_in_and_found(http: httpx.AsyncClient) -> None:
    text = "A penstock carries the water to the turbine."
    taken = await ended(http, await submit(http, {"kind": "ingest", "input": {"source": "a.txt", "text": text}}))
    assert taken.state == "completed"
    found = await ended(http, await submit(http, {"kind": "retrieve", "input": "What carries the water?"}))
    assert json.loads(bytes(found.output))["passages"][0]["text"] == text


async def test_prometheus_scrapes_every_service_and_has_its_alerts(plane: Plane) -> None:
    async def all_up() -> None:
        assert await watched(plane, "up") == dict.fromkeys(SERVICES, "1")
        assert await watched(plane, "penstock_ready") == dict.fromkeys(SERVICES, "1")

    await eventually(all_up, 60.0, every_s=0.5)
    async with httpx.AsyncClient() as client:
        rules = (await client.get(f"{plane.prometheus_url}/api/v1/rules")).json()["data"]["groups"]
    assert [rule["health"] for rule in rules[0]["rules"]] == ["ok"] * 8


async def test_the_log_is_whole_by_the_services_word_and_checked_here_from_a_copy(
    plane: Plane, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    verified = msgspec.json.decode((await http.get("/v1/audit/verify")).content, type=Verified)
    assert verified.problems == ()
    assert verified.records > 20
    plane.compose.run("cp", "audit:/var/lib/penstock/log", str(tmp_path / "log"))
    plane.compose.run("cp", "audit:/var/lib/penstock/key.pub", str(tmp_path / "key.pub"))
    here = verify_folder(tmp_path / "log", "")
    assert here.problems == ()
    assert here.records >= verified.records
    tile = max((path for path in (tmp_path / "log").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    changed = bytearray(tile.read_bytes())
    changed[len(changed) // 2] ^= 1
    tile.chmod(0o600)
    tile.write_bytes(changed)
    assert verify_folder(tmp_path / "log", "").problems


async def test_a_service_that_is_restarted_comes_back_and_the_plane_goes_on(
    plane: Plane, http: httpx.AsyncClient
) -> None:
    plane.compose.run("restart", "router", timeout_s=90)
    assert await ask(http, "after a restart") == SAID + "after a restart"


async def test_a_job_survives_the_kill_of_the_orchestrator(plane: Plane, http: httpx.AsyncClient) -> None:
    id = await submit(http, {"kind": "chat", "input": "Take your time."})

    async def running() -> None:
        view = msgspec.json.decode((await http.get(f"/v1/jobs/{id}")).content, type=JobView)
        assert view.state == "running"

    await eventually(running)
    plane.compose.run("kill", "-s", "KILL", "orchestrator")
    plane.compose.run("start", "orchestrator")
    view = await ended(http, id, within_s=90.0)
    assert (view.state, text_of(view)) == ("completed", "That took five seconds.")


async def test_a_broker_that_is_restarted_loses_nothing_and_no_service_with_it(
    plane: Plane, http: httpx.AsyncClient
) -> None:
    id = await submit(http, {"kind": "chat", "input": "before the broker went"})
    plane.compose.run("restart", "nats", timeout_s=90)

    async def answered() -> None:
        view = await http.get(f"/v1/jobs/{id}")
        assert view.status_code == 200
        assert (await http.post("/v1/chat/completions", json=chat("again"))).status_code == 200

    await eventually(answered, 60.0, every_s=0.5)
    assert (await ended(http, id)).state == "completed"
    assert [plane.compose.look(name).restart_count for name in SERVICES] == [0] * 7


def test_every_service_ends_by_sigterm_with_nothing_lost(plane: Plane) -> None:
    plane.compose.run("stop", *SERVICES, timeout_s=120)
    ended = {name: plane.compose.look(name).state for name in SERVICES}
    assert {name: state.exit_code for name, state in ended.items()} == dict.fromkeys(SERVICES, 0)
    assert not any(state.oom_killed for state in ended.values())


async def test_a_plane_that_is_started_again_knows_its_keys_and_its_log(plane: Plane, http: httpx.AsyncClient) -> None:
    plane.compose.up()
    assert await ask(http, "good to be back") == SAID + "good to be back"
    verified = msgspec.json.decode((await http.get("/v1/audit/verify")).content, type=Verified)
    assert verified.problems == ()


async def test_redis_takes_an_emptied_stores_place_and_what_was_spent_is_still_known(
    plane: Plane, http: httpx.AsyncClient
) -> None:
    spent = spent_nano(plane)
    plane.compose.run("stop", "policy", "context", "tool_executor", "store", timeout_s=120)
    plane.compose.run("rm", "-f", "store", "prepare")
    docker("volume", "rm", f"{plane.compose.project}_store")
    with_redis = plane.compose.with_files("deploy/compose/redis.yaml")
    with_redis.up()
    assert docker("inspect", "-f", "{{.Config.Image}}", with_redis.look("store").id).strip() == "redis:8.0-alpine"
    assert await ask(http, "on Redis") == SAID + "on Redis"
    assert spent_nano(plane) > spent > 0


def test_the_provider_is_asked_for_by_name_and_its_key_reaches_the_router_as_a_file(plane: Plane) -> None:
    laid_over = plane.compose.with_files("deploy/compose/provider.yaml", "deploy/compose/nats-clients.yaml")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        laid_over.run("config", "-q")
    assert "write openai, anthropic or gemini" in refused.value.stderr
    named = {"PENSTOCK_PROVIDER": "openai", "PENSTOCK_PROVIDER_KEY_FILE": "./provider.key"}
    complete = Compose(plane.compose.project, plane.compose.environment | named, laid_over.files)
    services = json.loads(complete.run("config", "--format", "json"))["services"]
    assert services["router"]["environment"]["PENSTOCK_MODELS_FILE"] == "openai.yaml"
    with_secret = {name for name, service in services.items() if service.get("secrets")}
    assert with_secret == {"router"}
    assert services["nats"]["ports"][0]["host_ip"] == "127.0.0.1"


def test_the_alerts_do_what_their_own_tests_say() -> None:
    folder = Path(__file__).parents[2] / "deploy" / "prometheus"
    promtool = ("run", "--rm", "--network", "none", "-v", f"{folder}:/rules:ro", "--entrypoint", "promtool")
    docker(*promtool, PROMETHEUS_IMAGE, "check", "config", "/rules/prometheus.yml")
    docker(*promtool, PROMETHEUS_IMAGE, "check", "rules", "--lint=all", "/rules/alerts.yml")
    docker(*promtool, PROMETHEUS_IMAGE, "test", "rules", "/rules/alerts_test.yml")
