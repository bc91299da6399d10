"""Replies of the scripted model server that stop half-way, until the test lets them go on."""

import asyncio

from tests.support.model_server import Line, Received, chunk, usage_chunk

ROLE = chunk({"role": "assistant", "content": ""})
DONE = b"data: [DONE]\n\n"


class Gated:
    """A streamed answer: some words, then nothing until `go`, then the rest with the provider's own count."""

    def __init__(self, *, first: int = 2, rest: int = 2, prompt: int = 100, output: int = 50) -> None:
        self.go = asyncio.Event()
        self.first = b"".join([ROLE, *(chunk({"content": f"a{number}"}) for number in range(first))])
        self.rest = b"".join([*(chunk({"content": f"b{number}"}) for number in range(rest)), chunk({}, "stop")])
        self.usage = usage_chunk(prompt, output, 0)

    @property
    def shown(self) -> bytes:
        """What a reader who stays to the end gets, when it did not ask for usage."""
        return self.first + self.rest + DONE

    async def reply(self, line: Line, request: Received) -> None:
        line.head(Content_Type="text/event-stream")
        line.write(self.first)
        await self.go.wait()
        line.write(self.rest + self.usage + DONE)
        line.end()
