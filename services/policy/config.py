"""Settings of the policy service."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from penstock.kit.config import Count, KitConfig, Seconds, Secret

NanoPerToken = Annotated[int, Meta(ge=0, le=10**12)]


class Config(KitConfig, frozen=True, kw_only=True):
    """store_url: Valkey or Redis, where balances are shared. store_timeout_s: how long it may take for one command.
    bundle_dir: the folder of policies; "" is the starter bundle that comes with the service.
    keys_file, limits_file: API keys and accounts' limits; "" is keys.json and accounts.yaml in config_dir, or in
    data_dir where there is no config_dir. Neither needs to exist.
    signing_key_file: the key that signs tokens, made at the first start; "" is policy-signing-key.pem in data_dir.
    obligations: names of obligations that the services of this plane carry out; a policy with another one denies.
    reload_every_s: how often policies, keys and limits are looked at; a change is in force after at most two looks.
    token_lifetime_s: of the token that an API key is exchanged for; run_lifetime_max_s: of a run's token.
    depth_max: how many agents may act one for another.
    unknown_price: what becomes of an action whose price is not known; estimate_nano_per_token: 10^-9 dollars per token,
    for unknown_price=estimate.
    lease_max_s: how long a reservation holds without an outcome, at most; then it counts as used.
    key_check_every_s: how often it is looked whether the public key still stands where services look for it.
    expire_every_s: how often reservations are looked at whose lease may be over.
    settled_kept_s: how long a settled attempt is remembered, so that it cannot be reserved again.
    record_timeout_s: how long the audit stream may take for a decision record; then nothing is permitted.
    clocks_apart_s: how far the clocks of policy services and broker may be apart. A reservation whose decision was not
    stored so long after store_timeout_s + record_timeout_s is given back.
    undone_max: attempts that were undone and whose outcome waits for room in the audit queue; above it the oldest is
    given up, and counts as used when its lease is over.
    decisions_remembered_max: decisions that are remembered, so that the same attempt asked again gets the same one.
    questions_max: questions in one list. evaluate_in_flight_max: single questions at once; calls_in_flight_max: of each
    of the other calls. Above them callers are told `overloaded`.
    rebuild_page_max: messages read from the audit stream at once while balances are filled from it.
    """

    store_url: Secret = Secret("redis://127.0.0.1:6379/0")
    store_timeout_s: Annotated[float, Meta(gt=0)] = 2.0
    bundle_dir: str = ""
    keys_file: str = ""
    limits_file: str = ""
    signing_key_file: str = ""
    obligations: tuple[str, ...] = ()
    reload_every_s: Annotated[float, Meta(gt=0, le=60)] = 0.4
    token_lifetime_s: Annotated[float, Meta(ge=10, le=3600)] = 900.0
    run_lifetime_max_s: Annotated[float, Meta(ge=10)] = 24 * 3600.0
    depth_max: Annotated[int, Meta(ge=1, le=16)] = 8
    unknown_price: Literal["deny", "estimate", "free"] = "deny"
    estimate_nano_per_token: NanoPerToken = 15_000
    lease_max_s: Annotated[float, Meta(gt=0, le=7 * 24 * 3600)] = 3600.0
    key_check_every_s: Annotated[float, Meta(gt=0)] = 5.0
    expire_every_s: Annotated[float, Meta(gt=0)] = 5.0
    settled_kept_s: Count = 900
    record_timeout_s: Seconds = 5.0
    clocks_apart_s: Seconds = 10.0
    undone_max: Count = 10_000
    decisions_remembered_max: Count = 10_000
    questions_max: Count = 500
    evaluate_in_flight_max: Count = 1024
    calls_in_flight_max: Count = 128
    rebuild_page_max: Count = 500

    @property
    def patience_s(self) -> float:
        """From a question about money to its decision record, at most; later nothing is permitted."""
        return self.store_timeout_s + self.record_timeout_s

    @property
    def unrecorded_s(self) -> float:
        """How long after the question a decision may be stored, by any clock."""
        return self.patience_s + self.clocks_apart_s

    def signing_key(self, data_dir: Path) -> Path:
        """Where the signing key is."""
        return Path(self.signing_key_file) if self.signing_key_file else data_dir / "policy-signing-key.pem"
