"""Single sign-on of the policy service, put together."""

from collections.abc import Sequence
from pathlib import Path

from penstock.contracts.errors import Code, Failure
from penstock.kit.service import Background, Parts
from services.policy.config import Config
from services.policy.oidc.key_sets import KeySets, KeyTimes
from services.policy.oidc.providers import Provider, ProvidersRefused, parse_providers
from services.policy.oidc.sign_in import SignIn
from services.policy.upkeep import Every
from services.policy.watched import Watched

FILE_MAX_BYTES = 1024 * 1024


class SignOn:
    """Close it at the end. Raises Failure(INVALID): nobody starts with a bad file; later the good one stays."""

    def __init__(self, config: Config, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        folder = parts.config_dir if config.config_dir else parts.data_dir
        path = Path(config.providers_file) if config.providers_file else folder / "identity.yaml"
        try:
            self._providers = Watched("providers", path, read_providers, (ProvidersRefused,), parts.log)
        except ProvidersRefused as refused:
            raise Failure(Code.INVALID, str(refused)) from refused
        times = KeyTimes(config.jwks_fetch_s, config.jwks_renew_s, config.jwks_stale_max_s, config.jwks_again_s)
        self._keys = KeySets(parts.clock, parts.log, times)
        self.sign_in = SignIn(lambda: self._providers.value, self._keys, parts.clock)

    def background(self) -> Sequence[Background]:
        parts = self._parts
        return (Every("providers", self._config.reload_every_s, self._look, parts.clock, parts.log).run,)

    async def close(self) -> None:
        await self._keys.close()

    async def _look(self) -> None:
        self._providers.look()


def read_providers(path: Path) -> dict[str, Provider]:
    """Those in the file; none where there is no file. Raises ProvidersRefused."""
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise ProvidersRefused(f"{path} is larger than {FILE_MAX_BYTES} bytes")
        return parse_providers(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ProvidersRefused(f"{path} is not UTF-8") from error
    except OSError as error:
        raise ProvidersRefused(f"{path} cannot be read: {error.strerror}") from error
