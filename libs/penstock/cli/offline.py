"""Verifies a copy of the audit log here: its folder and the public key are all that is needed."""

from pathlib import Path

from penstock.cli.desk import UsageError
from penstock.contracts.audit import Verified
from services.audit.checkpoint import BadKey
from services.audit.verify import verify


def verify_folder(folder: Path, key: str) -> Verified:
    """Checks a log's folder with its public key alone. Raises UsageError when there is no usable key."""
    try:
        return verify(folder, _public_key(folder, key)).verified
    except BadKey as bad:
        raise UsageError(f"the key cannot be used: {bad}") from bad


def _public_key(folder: Path, named: str) -> str:
    """The text given, or what its file or the file beside the log holds."""
    candidates = [Path(named)] if named else [folder / "key.pub", folder.parent / "key.pub"]
    if named and "+" in named and not Path(named).exists():
        return named
    for path in candidates:
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read: {error}") from error
    raise UsageError("the log's public key is not beside it: give it with --key")
