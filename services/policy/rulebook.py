"""What is in force now: the bundle, the API keys and the limits, each followed as its files change."""

from pathlib import Path

from penstock.contracts.errors import Code, Failure
from penstock.kit.identity import Account, Claims
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.policy.config import Config
from services.policy.identity.key_file import read_keys
from services.policy.identity.keys import ApiKey, KeyRefused, KeyRing
from services.policy.money.limits import Limit, Limits, LimitsRefused, Pot, parse_limits, pots
from services.policy.rules.bundle import Bundle, BundleRefused
from services.policy.rules.bundle_cases import load_bundle
from services.policy.watched import Watched

STARTER = Path(__file__).with_name("bundles") / "starter"
LIMITS_MAX_BYTES = 1024 * 1024


class Rulebook:
    """Raises BundleRefused, KeyRefused or LimitsRefused when it is made from bad files; later the good ones stay."""

    def __init__(
        self, bundle: Path, keys: Path, limits: Path, obligations: frozenset[str], log: Log, metrics: Metrics
    ) -> None:
        self.obligations = obligations
        self._metrics = metrics
        self._bundle = Watched("bundle", bundle, lambda path: load_bundle(path, obligations), (BundleRefused,), log)
        self._keys = Watched("keys", keys, read_keys, (KeyRefused,), log)
        self._limits = Watched("limits", limits, read_limits, (LimitsRefused,), log)

    @property
    def bundle(self) -> Bundle:
        return self._bundle.value

    @property
    def keys(self) -> KeyRing:
        return self._keys.value

    async def look(self) -> None:
        """Takes over what changed in the files; called every second or so."""
        before = self._bundle.problem
        self._bundle.look()
        if self._bundle.problem and self._bundle.problem != before:
            self._metrics.policy_bundle_errors.add()
        self._keys.look()
        self._limits.look()

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
        standing = {account.name: self._standing(claims, key, account) for account in claims.accounts}
        accounts = [(account.name, account.limit_nano, account.limit_tokens) for account in claims.accounts]
        return tuple(pots(accounts, standing, now))

    def _standing(self, claims: Claims, key: ApiKey | None, account: Account) -> tuple[Limit, ...]:
        if key is not None and key.limits and account.name == f"key:{key.id}":
            return key.limits
        return self._limits.value.of(claims.tenant, account.name)


def rulebook(config: Config, config_dir: Path, data_dir: Path, log: Log, metrics: Metrics) -> Rulebook:
    """The rulebook of these settings. Raises Failure(INVALID): nobody starts with a bad file."""
    folder = config_dir if config.config_dir else data_dir
    try:
        return Rulebook(
            bundle=Path(config.bundle_dir) if config.bundle_dir else STARTER,
            keys=Path(config.keys_file) if config.keys_file else folder / "keys.json",
            limits=Path(config.limits_file) if config.limits_file else folder / "accounts.yaml",
            obligations=frozenset(config.obligations),
            log=log,
            metrics=metrics,
        )
    except (BundleRefused, KeyRefused, LimitsRefused) as refused:
        raise Failure(Code.INVALID, str(refused)) from refused


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
