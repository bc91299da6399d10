"""OpenAI's Responses API: a surface that callers speak, and a provider's wire."""

from penstock.contracts.llm import OPENAI_RESPONSES
from services.router.protocols.answer import Answer
from services.router.protocols.loss import Losses
from services.router.protocols.openai_responses.answer import read_answer, read_told, write_answer
from services.router.protocols.openai_responses.body import ResponsesBody, read_body
from services.router.protocols.openai_responses.reader import ResponsesReader
from services.router.protocols.openai_responses.tap import ResponsesTap
from services.router.protocols.openai_responses.write_prompt import write_prompt
from services.router.protocols.openai_responses.writer import ResponsesWriter
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Protocol, Shape, Target, Told


class OpenAiResponses:
    """See Protocol."""

    name = OPENAI_RESPONSES

    def read(self, body: bytes, model: str = "") -> ResponsesBody:
        return read_body(body, model)

    def write_answer(self, answer: Answer, shape: Shape, losses: Losses) -> bytes:
        return write_answer(answer, shape, losses)

    def writer(self, shape: Shape, losses: Losses) -> ResponsesWriter:
        return ResponsesWriter(shape, losses)

    def write_prompt(self, prompt: Prompt, target: Target, losses: Losses) -> bytes:
        return write_prompt(prompt, target, losses)

    def read_answer(self, body: bytes) -> tuple[Answer, Told]:
        return read_answer(body)

    def reader(self) -> ResponsesReader:
        return ResponsesReader()

    def read_told(self, body: bytes) -> Told:
        return read_told(body)

    def tap(self, *, strip_usage: bool) -> ResponsesTap:
        """Usage is part of every response here: nobody has to ask for it, and it stays."""
        return ResponsesTap()


PROTOCOL: Protocol = OpenAiResponses()
