"""Fuzzing led by coverage (atheris): `python -m tests.fuzz [TARGET [options of libFuzzer]]`; all targets by default.

What was found before is kept in .fuzz/ and is where the next run begins. A crash stops with the input that caused it.
"""

import os
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["services.router.sse", "services.router.protocols", "services.router.fault"]):
    from tests.fuzz.seeds import seeds
    from tests.fuzz.targets import TARGETS

KEPT = Path(".fuzz")
SECONDS_EACH = 60
INPUT_MAX_BYTES = 8192


def main(arguments: list[str]) -> int:
    """The exit status: of the first target that crashed, or 0."""
    if arguments and arguments[0] in TARGETS:
        fuzz(arguments[0], arguments[1:])
        return 0
    if arguments and not arguments[0].startswith("-"):
        sys.stderr.write(f"there is no target {arguments[0]!r}; there are: {', '.join(TARGETS)}\n")
        return 2
    options = arguments or [f"-max_total_time={os.environ.get('FUZZ_S', SECONDS_EACH)}"]
    for target in TARGETS:
        sys.stderr.write(f"{target}\n")
        ended = subprocess.run([sys.executable, "-m", "tests.fuzz", target, *options], check=False)
        if ended.returncode:
            return ended.returncode
    return 0


def fuzz(target: str, options: list[str]) -> None:
    """Runs until libFuzzer stops; it ends the process itself."""
    corpus = KEPT / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = KEPT / f"{target}.words"
    words.write_text(dictionary(target))
    own = [
        f"-dict={words}",
        f"-artifact_prefix={KEPT}/crash-{target}-",
        f"-max_len={INPUT_MAX_BYTES}",
        "-rss_limit_mb=1024",
    ]
    atheris.Setup([sys.argv[0], *own, "-verbosity=0", *options, str(corpus)], TARGETS[target])
    atheris.Fuzz()


def dictionary(target: str) -> str:
    """The words of the seeds, for libFuzzer to put in anywhere."""
    words = {word for seed in seeds(target) for word in seed.decode().split('"') if word.isidentifier()}
    return "\n".join(f'"\\"{word}\\""' for word in sorted(words)) + '\n"null"\n"[]"\n"{}"\n":"\n","\n'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
