"""Gemini's generateContent and streamGenerateContent (v1, v1beta): what callers send and what providers get.

Proto JSON: names are read in camelCase and snake_case and written in camelCase. https://ai.google.dev/api/generate-content
"""

from penstock.contracts.llm import GEMINI_GENERATE
from services.router.protocols.answer import Answer
from services.router.protocols.gemini_generate.answer import read_answer, write_answer
from services.router.protocols.gemini_generate.body import GeminiBody, read_body
from services.router.protocols.gemini_generate.reader import GeminiReader
from services.router.protocols.gemini_generate.request import write_prompt
from services.router.protocols.gemini_generate.tap import GeminiTap, read_told
from services.router.protocols.gemini_generate.writer import GeminiWriter
from services.router.protocols.loss import Losses
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Shape, Target, Told


class Gemini:
    """The protocol. Streams of providers are always asked for as server-sent events (`alt=sse`)."""

    name = GEMINI_GENERATE

    def read(self, body: bytes, model: str = "", *, streamed: bool = False) -> GeminiBody:
        """`model` and `streamed` as the address says."""
        return read_body(body, model, streamed=streamed)

    def write_answer(self, answer: Answer, shape: Shape, losses: Losses) -> bytes:
        return write_answer(answer, shape, losses)

    def writer(self, shape: Shape, losses: Losses) -> GeminiWriter:
        return GeminiWriter(shape, losses)

    def write_prompt(self, prompt: Prompt, target: Target, losses: Losses) -> bytes:
        return write_prompt(prompt, target, losses)

    def read_answer(self, body: bytes) -> tuple[Answer, Told]:
        return read_answer(body)

    def reader(self) -> GeminiReader:
        return GeminiReader()

    def read_told(self, body: bytes) -> Told:
        return read_told(body)

    def tap(self, *, strip_usage: bool) -> GeminiTap:
        """Usage is part of every stream of this protocol: it is never cut out."""
        return GeminiTap()


PROTOCOL = Gemini()
