"""What is in force now: the bundle, the API keys and the limits, each followed as its files change."""

from pathlib import Path

from penstock.contracts.errors import Code, Failure
from penstock.kit.identity import Account, Claims
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.policy.config import Config
from services.policy.delegation.allowances import Allowances, AllowancesRefused, read_allowances
from services.policy.identity.key_file import read_keys
from services.policy.identity.keyring import Keys
from services.policy.identity.keys import ApiKey, KeyRefused, KeyRing
from services.policy.money.limits import NO_LIMIT, Limit, Limits, LimitsRefused, Pot, parse_limits, pots
from services.policy.rules.bundle import Bundle
from services.policy.rules.bundle_cases import load_bundle
from services.policy.rules.sources import BundleRefused
from services.policy.watched import Watched

SHIPPED = Path(__file__).with_name("bundles")
STARTER = SHIPPED / "starter"
LIMITS_MAX_BYTES = 1024 * 1024


class Rulebook:
    """Raises BundleRefused, KeyRefused, LimitsRefused or AllowancesRefused when it is made from bad files; later the
    good ones stay."""

    def __init__(
        self,
        bundle: Path,
        keys: Path,
        limits: Path,
        allowances: Path,
        obligations: frozenset[str],
        log: Log,
        metrics: Metrics,
    ) -> None:
        self.obligations = obligations
        self._metrics = metrics
        self._log = log
        self._bundle = Watched("bundle", bundle, lambda path: load_bundle(path, obligations), (BundleRefused,), log)
        self._published: Bundle | None = None
        self._keys = Watched("keys", keys, read_keys, (KeyRefused,), log)
        self.keys = Keys(lambda: self._keys.value)
        self._limits = Watched("limits", limits, read_limits, (LimitsRefused,), log)
        self._allowances = Watched("agents' allowances", allowances, read_allowances, (AllowancesRefused,), log)

    @property
    def bundle(self) -> Bundle:
        """What was published, once it was taken; the folder's before."""
        return self._published or self._bundle.value

    def take(self, bundle: Bundle) -> None:
        """Puts a published bundle in force."""
        self._published = bundle

    @property
    def folder(self) -> Bundle:
        """The last good one of the folder."""
        return self._bundle.value

    @property
    def allowances(self) -> Allowances:
        """What agents may have at most."""
        return self._allowances.value

    @property
    def key_file(self) -> KeyRing:
        """The operator's keys."""
        return self._keys.value

    async def look(self) -> None:
        """Takes over what changed in the files; called every second or so."""
        before = self._bundle.problem
        if self._bundle.look() and self._published is not None:
            self._log.warning("the folder of policies changed: what was published stays in force, publish the folder")
        if self._bundle.problem and self._bundle.problem != before:
            self._metrics.policy_bundle_errors.add()
        self._keys.look()
        self._limits.look()
        self._allowances.look()

    def key_of(self, claims: Claims, now: float) -> ApiKey | None:
        """The API key at the origin of a token, None for a token without one.

        Raises Failure(UNAUTHENTICATED) when it was revoked, has expired or is gone: its tokens end with it.
        """
        if not claims.key:
            return None
        key = self.keys.usable(claims.key, now)
        if key is None or key.tenant != claims.tenant:
            raise Failure(Code.UNAUTHENTICATED, "the API key behind this token is not valid any more")
        return key

    def pots(self, claims: Claims, key: ApiKey | None, now: float) -> tuple[Pot, ...]:
        """The pots with a limit that an action of this token is paid from, widest account first."""
        accounts = paying(claims)
        standing = {account.name: self._standing(claims.tenant, key, account.name) for account in accounts}
        limits = [(account.name, account.limit_nano, account.limit_tokens) for account in accounts]
        return tuple(pots(limits, standing, now))

    def pots_of(self, tenant: str, account: str, now: float) -> tuple[Pot, ...]:
        """The pots of one account of a tenant; one without limits where it has none."""
        kind, _, name = account.partition(":")
        key = self.keys.usable(name, now) if kind == "key" else None
        own = key if key is not None and key.tenant == tenant else None
        found = pots([(account, 0, 0)], {account: self._standing(tenant, own, account)}, now)
        return tuple(found) or (Pot(account, "", NO_LIMIT, NO_LIMIT),)

    def _standing(self, tenant: str, key: ApiKey | None, account: str) -> tuple[Limit, ...]:
        if key is not None and account.startswith("key:"):
            own = key if account == f"key:{key.id}" else self.keys.get(account.removeprefix("key:"))
            if own is not None and own.tenant == tenant and own.limits:
                return own.limits
        return self._limits.value.of(tenant, account)


def paying(claims: Claims) -> tuple[Account, ...]:
    """The accounts of a token, widest first: those that it names, its agents, and the runs that it is part of."""
    named = {account.name for account in claims.accounts}
    runs = tuple(Account(f"run:{run}") for run in (*claims.lineage, *((claims.run,) if claims.run else ())))
    own = {run.name: run for run in runs if run.name not in named}
    if not claims.chain and not own:
        return claims.accounts
    above = [account for account in claims.accounts if not account.name.startswith("run:")]
    below = [account for account in claims.accounts if account.name.startswith("run:")]
    agents = [Account(actor) for actor in claims.chain if actor not in named]
    return (*above, *agents, *below, *own.values())


def rulebook(config: Config, config_dir: Path, data_dir: Path, log: Log, metrics: Metrics) -> Rulebook:
    """The rulebook of these settings. Raises Failure(INVALID): nobody starts with a bad file."""
    folder = config_dir if config.config_dir else data_dir
    try:
        return Rulebook(
            bundle=bundle_folder(config.bundle_dir),
            keys=Path(config.keys_file) if config.keys_file else folder / "keys.json",
            limits=Path(config.limits_file) if config.limits_file else folder / "accounts.yaml",
            allowances=Path(config.allowances_file) if config.allowances_file else folder / "agents-allowed.yaml",
            obligations=frozenset(config.obligations),
            log=log,
            metrics=metrics,
        )
    except (BundleRefused, KeyRefused, LimitsRefused, AllowancesRefused) as refused:
        raise Failure(Code.INVALID, str(refused)) from refused


def bundle_folder(named: str) -> Path:
    """A folder, or the bundle of that name that comes with the service; "" is the starter."""
    shipped = SHIPPED / (named or "starter")
    return shipped if "/" not in named and named not in (".", "..") and shipped.is_dir() else Path(named)


def read_limits(path: Path) -> Limits:
    """The limits in the file; none when there is no file. Raises LimitsRefused."""
    try:
        if path.stat().st_size > LIMITS_MAX_BYTES:
            raise LimitsRefused(f"{path} is larger than {LIMITS_MAX_BYTES} bytes")
        return parse_limits(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Limits()
    except UnicodeDecodeError as error:
        raise LimitsRefused(f"{path} is not UTF-8") from error
    except OSError as error:
        raise LimitsRefused(f"{path} cannot be read: {error.strerror}") from error
