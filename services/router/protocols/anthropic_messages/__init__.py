"""Anthropic's Messages API, as callers speak it and as its provider does: versions 2023-06-01 and 2026-10-21."""

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.protocols.answer import Answer
from services.router.protocols.anthropic_messages import answer
from services.router.protocols.anthropic_messages.body import MessagesBody, read_body
from services.router.protocols.anthropic_messages.reader import MessagesReader
from services.router.protocols.anthropic_messages.tap import MessagesTap
from services.router.protocols.anthropic_messages.write_request import write_prompt
from services.router.protocols.anthropic_messages.writer import MessagesWriter
from services.router.protocols.loss import Losses
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Shape, Target, Told


class AnthropicMessages:
    """See `protocol.Protocol`."""

    name = ANTHROPIC_MESSAGES

    def read(self, body: bytes, model: str = "") -> MessagesBody:
        """Raises Failure(INVALID)."""
        return read_body(body, model)

    def write_answer(self, whole: Answer, shape: Shape, losses: Losses) -> bytes:
        """One message: the first choice."""
        return answer.write_answer(whole, shape, losses)

    def writer(self, shape: Shape, losses: Losses) -> MessagesWriter:
        """For one streamed answer."""
        return MessagesWriter(shape, losses)

    def write_prompt(self, prompt: Prompt, target: Target, losses: Losses) -> bytes:
        """The body of POST /v1/messages, under the API version that the target names."""
        return write_prompt(prompt, target, losses)

    def read_answer(self, body: bytes) -> tuple[Answer, Told]:
        """Raises Fault."""
        return answer.read_answer(body)

    def reader(self) -> MessagesReader:
        """For one streamed answer."""
        return MessagesReader()

    def read_told(self, body: bytes) -> Told:
        """Raises Fault."""
        return answer.read_told(body)

    def tap(self, *, strip_usage: bool) -> MessagesTap:
        """Usage is part of every message, whether it was asked for or not."""
        return MessagesTap()


PROTOCOL = AnthropicMessages()
