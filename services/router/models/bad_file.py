"""Why a models file is refused, and the reading that can lead to it."""

from pathlib import Path

FILE_MAX_BYTES = 1024 * 1024


class BadModelsFile(ValueError):
    """Why a file is refused, and what to write instead."""


def read_text(path: Path, what: str) -> str:
    """The file's text. Raises BadModelsFile with a sentence when it cannot be read, is too large or no UTF-8."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise BadModelsFile(f"{what} {path} cannot be read: {error.strerror}") from None
    if len(raw) > FILE_MAX_BYTES:
        raise BadModelsFile(f"{what} {path} is larger than {FILE_MAX_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadModelsFile(f"{what} {path} is not UTF-8 text") from None


def first_line(error: Exception) -> str:
    """What a parser said, in one line."""
    return " ".join(str(error).split())[:300]
