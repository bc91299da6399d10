"""Settings of the policy service."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from penstock.kit.config import Count, KitConfig, Seconds, Secret
from penstock.kit.obligations import KNOWN

NanoPerToken = Annotated[int, Meta(ge=0, le=10**12)]


class Config(KitConfig, frozen=True, kw_only=True):
    """store_url: Valkey or Redis, where balances are shared. store_timeout_s: how long it may take for one command.
    bundle_dir: the folder of policies, or the name of a bundle that comes with the service (starter, strict, hipaa,
    soc2); "" is starter.
    keys_file, limits_file: API keys and accounts' limits; "" is keys.json and accounts.yaml in config_dir, or in
    data_dir where there is no config_dir. Neither needs to exist.
    allowances_file: what agents may have at most; "" is agents-allowed.yaml beside them. Without it they may have what
    whoever asks them has and gives.
    signing_key_file: the key that signs tokens, made at the first start; "" is policy-signing-key.pem in data_dir.
    operator_tenants: who may publish policies and do what else concerns every tenant.
    bundle_source: `published` takes the bundle that was published last, and the one of bundle_dir while none was;
    `folder` takes bundle_dir whatever was published (to get out of a bundle that locks everybody out).
    decisions_page_max: recorded decisions read at once; decisions_scan_max: messages of the audit stream looked through
    for one decision.
    obligations: names of obligations that the services of this plane carry out; a policy with another one denies.
    reload_every_s: how often policies, keys and limits are looked at; a change is in force after at most two looks.
    token_lifetime_s: of the token that an API key is exchanged for; run_lifetime_max_s: of a run's token.
    providers_file: identity providers whose tokens are taken; "" is identity.yaml beside the keys. It need not exist.
    jwks_fetch_s: how long a provider may take to show its keys; jwks_renew_s: how old they are when they are fetched
    again, jwks_stale_max_s: how old at most, while the provider cannot be asked; jwks_again_s: a provider is asked at
    most once in so long, however many unknown keys are named.
    key_lifetime_max_s: of a key that is made through the plane; key_grace_max_s: how long the secret before a rotation
    may be good.
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
    fail_open_s: for how long what a @fail_open rule permitted may go on while policy cannot be asked; 0: not at all.
    decisions_remembered_max: decisions that are remembered, so that the same attempt asked again gets the same one.
    approvals_expire_s: how long an approval waits for its answers where the policy does not say; a run's also ends with
    its token. approvals_expire_max_s: the longest that a policy may say. approvals_usable_s: how long what was approved
    may be done. approvals_pending_max: of one tenant at once; above it a held action is refused.
    approvals_keep_arguments: whether approvers see a tool's arguments, cut and without secrets and personal data.
    approvals_look_every_s: how often it is looked for approvals whose time is over.
    approval_lists_in_flight_max: lists of approvals at once; each reads all of its tenant.
    questions_max: questions in one list. evaluate_in_flight_max: single questions at once; calls_in_flight_max: of each
    of the other calls. Above them callers are told `overloaded`.
    rebuild_page_max: messages read from the audit stream at once, for balances and statements.
    alert_percents: of the limit of a day, a week, a month or for good; reaching one is told once. alert_every_s: how
    often it is looked for what is to be told.
    statements_in_flight_max: statements at once; each reads the tenant's part of the audit stream.
    callout_dir: the folder with the seeds for the broker's auth callout (user.seed, issuer.seed, curve.seed), by which
    tenants' clients connect with their API keys; "" where the broker asks nobody.
    callout_in_flight_max: clients that are being let in at once; more come again.
    callout_wrong_max: wrong keys from one host, for one key, within callout_wrong_window_s; then none is looked at.
    callout_sweep_every_s: how often connections are looked at, whether their keys are good still.
    connection_lifetime_max_s: a connection ends after so long, and its client connects anew.
    connections_max: to the broker with one API key, subscriptions_max: of each of them, where the key says nothing
    else; what is above is ended by the next sweep.
    """

    store_url: Secret = Secret("redis://127.0.0.1:6379/0")
    store_timeout_s: Annotated[float, Meta(gt=0)] = 2.0
    bundle_dir: str = ""
    operator_tenants: tuple[str, ...] = ("operator",)
    bundle_source: Literal["published", "folder"] = "published"
    decisions_page_max: Count = 1000
    decisions_scan_max: Count = 200_000
    keys_file: str = ""
    limits_file: str = ""
    allowances_file: str = ""
    signing_key_file: str = ""
    obligations: tuple[str, ...] = tuple(sorted(KNOWN))
    reload_every_s: Annotated[float, Meta(gt=0, le=60)] = 0.4
    token_lifetime_s: Annotated[float, Meta(ge=10, le=3600)] = 900.0
    run_lifetime_max_s: Annotated[float, Meta(ge=10, le=7 * 24 * 3600)] = 24 * 3600.0
    providers_file: str = ""
    jwks_fetch_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    jwks_renew_s: Annotated[float, Meta(ge=1)] = 600.0
    jwks_stale_max_s: Annotated[float, Meta(ge=1, le=7 * 24 * 3600)] = 24 * 3600.0
    jwks_again_s: Annotated[float, Meta(ge=0.1)] = 10.0
    key_lifetime_max_s: Annotated[float, Meta(ge=60)] = 366 * 24 * 3600.0
    key_grace_max_s: Annotated[float, Meta(ge=0)] = 7 * 24 * 3600.0
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
    fail_open_s: Annotated[float, Meta(ge=0, le=300)] = 60.0
    approvals_expire_s: Annotated[float, Meta(gt=0)] = 24 * 3600.0
    approvals_expire_max_s: Annotated[float, Meta(gt=0, le=14 * 24 * 3600)] = 7 * 24 * 3600.0
    approvals_usable_s: Annotated[float, Meta(gt=0, le=7 * 24 * 3600)] = 3600.0
    approvals_pending_max: Count = 500
    approvals_keep_arguments: bool = True
    approval_lists_in_flight_max: Count = 8
    approvals_look_every_s: Annotated[float, Meta(gt=0, le=60)] = 1.0
    questions_max: Count = 500
    evaluate_in_flight_max: Count = 1024
    calls_in_flight_max: Count = 128
    rebuild_page_max: Count = 500
    alert_percents: tuple[Annotated[int, Meta(ge=1, le=100)], ...] = (50, 80, 100)
    alert_every_s: Annotated[float, Meta(gt=0)] = 2.0
    statements_in_flight_max: Count = 4
    callout_dir: str = ""
    callout_in_flight_max: Count = 1024
    callout_wrong_max: Count = 10
    callout_wrong_window_s: Annotated[float, Meta(gt=0)] = 60.0
    callout_sweep_every_s: Annotated[float, Meta(gt=0)] = 2.0
    connection_lifetime_max_s: Annotated[float, Meta(ge=10)] = 24 * 3600.0
    connections_max: Count = 1000
    subscriptions_max: Count = 1000

    @property
    def patience_s(self) -> float:
        """From a question about money to its decision record, at most; later nothing is permitted."""
        return self.store_timeout_s + self.record_timeout_s

    @property
    def unrecorded_s(self) -> float:
        """How long after the question a decision may be stored, by any clock."""
        return self.patience_s + self.clocks_apart_s

    @property
    def token_life_max_s(self) -> float:
        """Of any token that is signed."""
        return max(self.run_lifetime_max_s, self.token_lifetime_s)

    def signing_key(self, data_dir: Path) -> Path:
        """Where the signing key is."""
        return Path(self.signing_key_file) if self.signing_key_file else data_dir / "policy-signing-key.pem"
