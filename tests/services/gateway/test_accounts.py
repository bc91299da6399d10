"""Accounts over HTTP: balances, statements as JSON and CSV, and how a rate limit looks from outside."""

import csv
import io

from tests.services.gateway.conftest import EdgePlane
from tests.support.eventually import eventually

CHAT = {"model": "chat", "max_tokens": 16, "messages": [{"role": "user", "content": "Say hello."}]}


def limits(plane: EdgePlane, text: str) -> None:
    written = plane.folder / "accounts.yaml.new"
    written.write_text(text, encoding="utf-8")
    written.replace(plane.folder / "accounts.yaml")


async def test_what_is_left_and_what_it_was_spent_on_can_be_asked_over_http(plane: EdgePlane) -> None:
    async with plane.client(await plane.key(usd=1)) as client:
        for _ in range(3):
            assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200

        async def settled() -> None:
            (balance,) = (await client.get("/v1/accounts")).json()["accounts"]
            assert (balance["reserved_nano"], balance["limit_nano"]) == (0, 1_000_000_000)
            assert balance["committed_nano"] > 0

        await eventually(settled)
        path = "/v1/accounts/user:alice/statement"
        first = await client.get(path, params={"limit": 2})
        second = await client.get(first.links["next"]["url"])
        sheet = await client.get(path, params={"format": "csv"})
        one = await client.get("/v1/accounts/user:alice")

    lines = first.json()["lines"] + second.json()["lines"]
    assert [line["action"] for line in lines].count("model.complete") == 3
    assert len({line["attempt"] for line in lines}) == len(lines)
    assert first.json()["committed"]["nano"] > 0
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    rows = list(csv.DictReader(io.StringIO(sheet.text)))
    assert [row["attempt"] for row in rows[:2]] == [line["attempt"] for line in lines[:2]]
    assert one.json()["accounts"][0]["account"] == "user:alice"


async def test_the_accounts_of_others_and_bad_questions_are_refused(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        assert (await client.get("/v1/accounts/tenant:acme")).status_code == 403
        for path, param in (
            ("/v1/accounts/nobody", "account"),
            ("/v1/accounts/user:alice/statement?since=x", "since"),
            ("/v1/accounts/user:alice/statement?since=nan", "since"),
            ("/v1/accounts/user:alice/statement?since=5&until=4", "until"),
            ("/v1/accounts/user:alice/statement?limit=0", "limit"),
            ("/v1/accounts/user:alice/statement?limit=1001", "limit"),
            ("/v1/accounts/user:alice/statement?after=x", "after"),
            ("/v1/accounts/user:alice/statement?format=xml", "format"),
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), path


async def test_a_rate_limit_is_429_and_says_when_to_come_again(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        limits(plane, 'acme: {"user:*": {requests: 1, period: week}}')

        async def limited() -> None:
            answer = await client.post("/v1/chat/completions", json=CHAT)
            assert answer.status_code == 429
            assert 0 < int(answer.headers["retry-after"]) <= 7 * 24 * 3600
            assert "has used its 1 requests" in answer.json()["error"]["message"]

        await eventually(limited)
