"""The usage of a call that nobody counted. Pure."""

from penstock.contracts.llm import Usage
from services.router.estimate import likely_tokens


def guessed(input_tokens: int, output_bytes: int) -> Usage:
    """What a call that nobody counted likely used, flagged as an estimate."""
    return Usage(uncached=input_tokens, output=likely_tokens(output_bytes), estimated=True)
