"""OpenAI's chat completions, and what is compatible with them: vLLM, llama.cpp, Ollama, OpenRouter, Groq, Azure …"""

from penstock.contracts.llm import OPENAI_CHAT
from services.router.protocols.answer import Answer
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat.answer import read_answer, write_answer
from services.router.protocols.openai_chat.body import ChatBody, read_chat
from services.router.protocols.openai_chat.reader import ChatReader
from services.router.protocols.openai_chat.tap import ChatTap, read_told
from services.router.protocols.openai_chat.write_request import write_prompt
from services.router.protocols.openai_chat.writer import ChatWriter
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Shape, Target, Told


class OpenAIChat:
    """See protocols.protocol.Protocol."""

    name = OPENAI_CHAT

    def read(self, body: bytes, model: str = "") -> ChatBody:
        return read_chat(body)

    def write_answer(self, answer: Answer, shape: Shape, losses: Losses) -> bytes:
        return write_answer(answer, shape, losses)

    def writer(self, shape: Shape, losses: Losses) -> ChatWriter:
        return ChatWriter(shape, losses)

    def write_prompt(self, prompt: Prompt, target: Target, losses: Losses) -> bytes:
        return write_prompt(prompt, target, losses)

    def read_answer(self, body: bytes) -> tuple[Answer, Told]:
        return read_answer(body)

    def reader(self) -> ChatReader:
        return ChatReader()

    def read_told(self, body: bytes) -> Told:
        return read_told(body)

    def tap(self, *, strip_usage: bool) -> ChatTap:
        return ChatTap(strip_usage=strip_usage)


PROTOCOL = OpenAIChat()
