"""A small real model on loopback, for when no provider's key is set: python -m penstock.local.model_server

Speaks the OpenAI wire (and Anthropic messages): chat at one port, embeddings at another. Imports no engine
until it is started, so that whoever starts it as a process needs none.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.local.wheels import WheelMissing, require

CHAT_MODEL = "smollm2-135m-instruct"
EMBEDDING_MODEL = "all-minilm-l6-v2"
_READY = re.compile(r"^ready chat=(?P<chat>\S+) embeddings=(?P<embeddings>\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Base URLs as clients want them, with /v1."""

    chat: str
    embeddings: str

    def line(self) -> str:
        return f"ready chat={self.chat} embeddings={self.embeddings}\n"


def addresses_in(output: str) -> Addresses | None:
    """What the ready line says, once it has been written."""
    match = _READY.search(output)
    return Addresses(match["chat"], match["embeddings"]) if match else None


@dataclass(frozen=True, slots=True)
class Options:
    """`context_tokens` are shared by `parallel` requests; an answer ends at `answer_tokens` at the latest."""

    chat_port: int = 0
    embeddings_port: int = 0
    threads: int = 2
    context_tokens: int = 8192
    parallel: int = 4
    answer_tokens: int = 1024
    model: Path | None = None


class ModelMissing(Exception):
    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is not a file.")


def options_from(arguments: Sequence[str]) -> Options:
    default = Options()
    parser = argparse.ArgumentParser("python -m penstock.local.model_server", description=__doc__)
    parser.add_argument("--chat-port", type=int, default=default.chat_port, help="0 is a free one")
    parser.add_argument("--embeddings-port", type=int, default=default.embeddings_port, help="0 is a free one")
    parser.add_argument("--threads", type=int, default=default.threads)
    parser.add_argument("--context-tokens", type=int, default=default.context_tokens)
    parser.add_argument("--parallel", type=int, default=default.parallel)
    parser.add_argument("--answer-tokens", type=int, default=default.answer_tokens)
    parser.add_argument("--model", type=Path, default=None, help="another GGUF file")
    return Options(**vars(parser.parse_args(arguments)))


async def serve(options: Options) -> None:
    if options.model is not None and not options.model.is_file():
        raise ModelMissing(options.model)
    require(["xllamacpp", "onnxruntime", "tokenizers", "numpy", "starlette", "uvicorn"])
    from penstock.local.chat_model import ChatModel  # an engine: only the started process has it
    from penstock.local.embedder import Embedder
    from penstock.local.embeddings_api import EmbeddingsApi

    chat = ChatModel(options)
    api = EmbeddingsApi(Embedder(threads=options.threads), EMBEDDING_MODEL)

    def ready(embeddings: str) -> None:
        sys.stdout.write(Addresses(chat.url, embeddings).line())
        sys.stdout.flush()

    await api.serve(options.embeddings_port, ready)


def main() -> int:
    try:
        asyncio.run(serve(options_from(sys.argv[1:])))
    except (WheelMissing, ModelMissing) as missing:
        sys.stderr.write(f"{missing}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
