"""Where the plane is and who we are there: from the environment, or from the file that `penstock up` leaves."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

FILE_NAME = "profile.json"
_NAMES = {
    "url": "PENSTOCK_URL",
    "tenant": "PENSTOCK_TENANT",
    "seed_file": "PENSTOCK_SEED_FILE",
    "ca_file": "PENSTOCK_CA_FILE",
    "api_key": "PENSTOCK_API_KEY",
    "api_key_file": "PENSTOCK_API_KEY_FILE",
    "http_url": "PENSTOCK_HTTP_URL",
}


class ProfileError(Exception):
    """A profile that cannot be used; the message says what to do. Never shows a key."""


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The API key, by which clients also connect, stands in `api_key` or in the file `api_key_file`. `seed_file`: an
    nkey seed to connect by instead, where the broker knows it.

    `http_url`: the plane's HTTP edge, for clients that speak OpenAI's protocol; this library does not use it.
    """

    url: str = "nats://127.0.0.1:4222"
    tenant: str = "default"
    seed_file: str = ""
    ca_file: str = ""
    api_key: str = ""
    api_key_file: str = ""
    http_url: str = ""

    def key(self) -> str:
        """The API key, "" for none. Raises ProfileError."""
        if self.api_key or not self.api_key_file:
            return self.api_key
        try:
            return Path(self.api_key_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ProfileError(f"The API key file {self.api_key_file} cannot be read: {error}.") from None


def find_profile(environment: Mapping[str, str], here: Path, home: Path) -> Profile:
    """What the environment names, laid over the profile file of the plane on this machine where there is one.

    The file is `profile.json` in the data folder: PENSTOCK_DATA, else .penstock below the present folder or one above
    it, else the user's own data folder. A key in the environment replaces the file's key. Raises ProfileError.
    """
    profile = Profile()
    for folder in data_folders(environment, here, home):
        if (folder / FILE_NAME).is_file():
            profile = read_profile(folder / FILE_NAME)
            break
    named = {field: environment[name] for field, name in _NAMES.items() if environment.get(name)}
    if "api_key_file" in named and "api_key" not in named:
        named["api_key"] = ""
    return msgspec.structs.replace(profile, **named)


def read_profile(path: Path) -> Profile:
    """Raises ProfileError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Profile)
    except OSError as error:
        raise ProfileError(f"The profile {path} cannot be read: {error.strerror}.") from None
    except msgspec.DecodeError as error:
        raise ProfileError(f"The profile {path} cannot be used: {error}.") from None


def data_folders(environment: Mapping[str, str], here: Path, home: Path) -> list[Path]:
    """Where a plane of this machine may keep its data, the likeliest first."""
    named = environment.get("PENSTOCK_DATA", "").strip()
    if named:
        return [here / Path(named).expanduser()]
    data = environment.get("XDG_DATA_HOME", "").strip()
    own = (Path(data) if data else home / ".local" / "share") / "penstock"
    return [*(folder / ".penstock" for folder in (here, *here.parents)), own]
