"""What a key opens: with real keys, and time that stands still."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.bus.callout import Guest
from penstock.bus.callout_jwt import Knock, Pass
from penstock.contracts.errors import Code, Failure
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.policy.callout.door import Door
from services.policy.config import Config
from services.policy.identity.keys import ApiKey, KeyRing, credential, digest_of
from services.policy.oidc.providers import Person, SignedIn
from tests.support.clock import HandClock

NOW = 1_800_000_000.0
SECRET = "a-secret-that-nobody-knows-and-that-is-long"
KEY = ApiKey("key1", digest_of(SECRET), "acme", "user:alice")
GOOD = credential("key1", SECRET)


class House:
    """One door, its keys, its clock and its log."""

    def __init__(self, *keys: ApiKey, config: Config | None = None) -> None:
        self.ring = KeyRing(keys or (KEY,))
        self.revoked: set[str] = set()
        self.blind = False
        self.people: dict[str, SignedIn] = {}
        self.clock = HandClock(NOW)
        self.lines: list[str] = []
        log = Log(self.lines.append)
        metrics = Metrics("policy")
        self.door = Door(lambda: self.ring, self._revoked, self._sign_in, config or Config(), self.clock, metrics, log)

    def _revoked(self, key: ApiKey) -> bool:
        if self.blind:
            raise Failure(Code.UNAVAILABLE, "nobody can say")
        return key.id in self.revoked

    async def _sign_in(self, token: str) -> SignedIn:
        if token not in self.people:
            raise Failure(Code.UNAUTHENTICATED, "the token is refused: its issuer is not known here")
        return self.people[token]

    async def knock(self, given: str, host: str = "10.0.0.1") -> Pass:
        return await self.door.decide(Knock(given, host, "N1", "U1", NOW + 2))

    async def refusal(self, given: str, host: str = "10.0.0.1") -> Code:
        with pytest.raises(Failure) as caught:
            await self.knock(given, host)
        return caught.value.code


def with_key(**changed: object) -> ApiKey:
    return msgspec.structs.replace(KEY, **changed)


async def test_a_key_opens_its_own_tenants_subjects() -> None:
    allowed = await House().knock(GOOD)
    assert "penstock.v1.acme.api.submit" in allowed.grants.publish
    assert "penstock.v1.acme.events.*" in allowed.grants.subscribe
    assert "_INBOX.tenant.acme.*" in allowed.grants.subscribe
    subjects = allowed.grants.publish | allowed.grants.subscribe
    assert all(".acme." in subject for subject in subjects)
    assert allowed.name == "key.key1.0"
    assert allowed.expires == NOW + 24 * 3600


async def test_a_connection_ends_with_its_key() -> None:
    assert (await House(with_key(expires=NOW + 60)).knock(GOOD)).expires == NOW + 60


@pytest.mark.parametrize(
    ("scopes", "hears"),
    [(("*",), True), (("job.*",), True), (("job.read",), True), (("model.*",), False), (("job.submit",), False)],
)
async def test_only_a_key_that_may_read_jobs_hears_of_them(scopes: tuple[str, ...], hears: bool) -> None:
    allowed = await House(with_key(scopes=scopes)).knock(GOOD)
    assert ("penstock.v1.acme.events.*" in allowed.grants.subscribe) is hears
    assert ("penstock.v1.acme.tokens.*" in allowed.grants.subscribe) is hears
    assert "_INBOX.tenant.acme.*.>" in allowed.grants.subscribe


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "psk_key1_",
        "psk_key1_wrong",
        "psk_nokey_" + SECRET,
        "psk_KEY1_" + SECRET,
        GOOD + " ",
        " " + GOOD,
        GOOD.upper(),
        GOOD + "\u200b",
        GOOD.replace("key1", "ke\u04f31"),
        "psk_key1_" + "x" * 10_000,
        "psk_\ud800_\udfff",
        "\x00",
    ],
)
async def test_whatever_is_not_exactly_a_key_is_refused_in_one_way(bad: str) -> None:
    assert await House().refusal(bad) is Code.UNAUTHENTICATED


@given(st.text())
async def test_no_text_breaks_the_door(text: str) -> None:
    assert await House().refusal(text) is Code.UNAUTHENTICATED


async def test_an_expired_or_revoked_key_opens_nothing() -> None:
    assert await House(with_key(expires=NOW)).refusal(GOOD) is Code.UNAUTHENTICATED
    assert await House(with_key(revoked=NOW - 1)).refusal(GOOD) is Code.UNAUTHENTICATED
    house = House()
    house.revoked.add("key1")
    assert await house.refusal(GOOD) is Code.UNAUTHENTICATED


async def test_while_nobody_can_say_what_was_revoked_nobody_gets_in() -> None:
    house = House()
    house.blind = True
    assert await house.refusal(GOOD) is Code.UNAVAILABLE
    house.blind = False
    assert (await house.knock(GOOD)).name == "key.key1.0"


async def test_after_ten_wrong_secrets_for_a_key_that_host_is_not_listened_to_for_a_minute() -> None:
    house = House(KEY, ApiKey("key2", digest_of(SECRET), "acme", "user:bob"))
    for n in range(10):
        assert await house.refusal(f"psk_key1_guess{n}") is Code.UNAUTHENTICATED
    assert await house.refusal(GOOD) is Code.RATE_LIMITED
    # the others are not its fault: another key from there, this key from elsewhere
    assert (await house.knock(credential("key2", SECRET))).name == "key.key2.0"
    assert (await house.knock(GOOD, host="10.0.0.2")).name == "key.key1.0"
    house.clock.move(60)
    assert (await house.knock(GOOD)).name == "key.key1.0"


async def test_who_makes_up_ids_of_keys_is_one_guesser() -> None:
    house = House()
    for n in range(10):
        assert await house.refusal(f"psk_made{n}_{SECRET}") is Code.UNAUTHENTICATED
    assert await house.refusal(f"psk_made99_{SECRET}") is Code.RATE_LIMITED
    assert (await house.knock(GOOD)).name == "key.key1.0"


async def test_the_log_names_a_key_that_there_is_and_nothing_of_what_was_given() -> None:
    house = House()
    await house.refusal("psk_key1_hunter2hunter2")
    await house.refusal("hunter2hunter2")
    await house.refusal("psk_hunter2hunter2_x")
    assert [msgspec.json.decode(line)["key"] for line in house.lines] == ["key1", "", ""]
    assert "hunter2" not in "".join(house.lines)


def guest(number: int, name: str = "key.key1.0", subscriptions: int = 1) -> Guest:
    return Guest(name, "N1", number, subscriptions)


def test_whose_key_is_good_may_stay_and_the_planes_own_services_always() -> None:
    assert House().door.unwanted([guest(1), guest(2, "UABC"), guest(3, "")]) == []


def test_whose_key_was_revoked_or_is_gone_has_to_go() -> None:
    house = House()
    assert house.door.unwanted([guest(1), guest(2, "key.gone.0")]) == [guest(2, "key.gone.0")]
    house.revoked.add("key1")
    assert house.door.unwanted([guest(1)]) == [guest(1)]
    house.revoked.clear()
    house.ring = house.ring.without("key1", NOW)
    assert house.door.unwanted([guest(1)]) == [guest(1)]


def test_who_came_with_a_secret_that_was_replaced_has_to_go_when_its_grace_is_over() -> None:
    rotated = with_key(rotated=NOW - 10, former=digest_of("the one before"), former_until=NOW + 60)
    house = House(rotated)
    before, after = guest(1), guest(2, f"key.key1.{int((NOW - 10) * 1000)}")
    assert house.door.unwanted([before, after]) == []
    house.clock.move(60)
    assert house.door.unwanted([before, after]) == [before]


async def test_a_former_secret_lets_in_until_its_grace_is_over_and_no_longer() -> None:
    rotated = with_key(rotated=NOW - 10, former=digest_of("before"), former_until=NOW + 60)
    assert (await House(rotated).knock(credential("key1", "before"))).expires == NOW + 60


def test_who_subscribes_to_too_much_has_to_go() -> None:
    house = House(with_key(subscriptions_max=5))
    assert house.door.unwanted([guest(1, subscriptions=5), guest(2, subscriptions=6)]) == [guest(2, subscriptions=6)]


async def test_above_the_connections_of_a_key_the_newest_go_and_no_more_get_in() -> None:
    house = House(with_key(connections_max=2))
    assert house.door.unwanted([guest(3), guest(1), guest(2)]) == [guest(3)]
    assert await house.refusal(GOOD) is Code.RATE_LIMITED
    assert house.door.unwanted([guest(1)]) == []
    assert (await house.knock(GOOD)).name == "key.key1.0"
    assert await house.refusal(GOOD) is Code.RATE_LIMITED


def test_nobody_is_shown_out_while_nobody_can_say_what_was_revoked() -> None:
    house = House()
    house.blind = True
    with pytest.raises(Failure, match="nobody can say"):
        house.door.unwanted([guest(1)])


ALICE = SignedIn(Person("acme", "user:alice", "", ("job.read",), ("*",)), NOW + 300)


async def test_somebody_who_signed_in_elsewhere_gets_in_for_as_long_as_that_token_is_good() -> None:
    house = House()
    house.people["a.b.c"] = ALICE
    allowed = await house.knock("a.b.c")
    assert allowed.expires == NOW + 300
    assert "penstock.v1.acme.events.*" in allowed.grants.subscribe
    assert "alice" not in allowed.name
    assert house.door.unwanted([guest(1, allowed.name)]) == []


async def test_a_token_that_nobody_signed_is_refused_and_shuts_nobody_out() -> None:
    house = House()
    house.people["a.b.c"] = ALICE
    for _ in range(30):
        assert await house.refusal("x.y.z") is Code.UNAUTHENTICATED
    assert (await house.knock("a.b.c")).expires == NOW + 300


async def test_the_connections_of_one_person_are_counted_together_and_not_with_anothers() -> None:
    house = House(config=Config(connections_max=2))
    bob = SignedIn(Person("acme", "user:bob", "", (), ("*",)), NOW + 300)
    house.people |= {"a.b.c": ALICE, "d.e.f": ALICE, "b.o.b": bob}
    name = (await house.knock("a.b.c")).name
    assert (await house.knock("d.e.f")).name == name
    assert await house.refusal("a.b.c") is Code.RATE_LIMITED
    assert (await house.knock("b.o.b")).name != name
    assert house.door.unwanted([guest(1, name), guest(3, name), guest(2, name)]) == [guest(3, name)]
