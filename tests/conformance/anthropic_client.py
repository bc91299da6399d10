"""Messages by Anthropic's library: `parse` and its stream helper."""

import base64
from collections.abc import Sequence

import anthropic
import httpx2
from anthropic.types import (
    ImageBlockParam,
    MessageParam,
    ParsedMessage,
    TextBlockParam,
    ToolResultBlockParam,
    ToolUnionParam,
)
from pydantic import BaseModel

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from tests.conformance.client import Answer, Call, Heads, Options, Tool, Used


class AnthropicClient:
    protocol = ANTHROPIC_MESSAGES

    def __init__(self, url: str, key: str) -> None:
        self.heads = Heads()

        async def see(response: httpx2.Response) -> None:
            self.heads.see(response.headers)

        http = anthropic.DefaultAsyncHttpxClient(event_hooks={"response": [see]})
        self.sdk = anthropic.AsyncAnthropic(api_key=key, base_url=url, max_retries=0, http_client=http)

    def talk(self, options: Options) -> "AnthropicTalk":
        return AnthropicTalk(self.sdk, self.heads, options)

    async def count(self, model: str, words: str) -> int:
        messages: list[MessageParam] = [{"role": "user", "content": words}]
        return (await self.sdk.messages.count_tokens(model=model, messages=messages)).input_tokens

    async def models(self) -> list[str]:
        return [model.id async for model in self.sdk.models.list()]

    async def close(self) -> None:
        await self.sdk.close()


class AnthropicTalk:
    def __init__(self, sdk: anthropic.AsyncAnthropic, heads: Heads, options: Options) -> None:
        self._sdk = sdk
        self._heads = heads
        self._options = options
        self._messages: list[MessageParam] = []
        for user, assistant in options.earlier:
            self._messages.append({"role": "user", "content": user})
            self._messages.append({"role": "assistant", "content": assistant})

    async def say(self, words: str, *, image: bytes = b"") -> Answer:
        blocks: list[TextBlockParam | ImageBlockParam] = [{"type": "text", "text": words}]
        if image:
            data = base64.b64encode(image).decode()
            blocks.append({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}})
        self._messages.append({"role": "user", "content": blocks if image else words})
        return await self._ask()

    async def tell(self, results: Sequence[tuple[Call, str]]) -> Answer:
        blocks: list[ToolResultBlockParam] = [
            {"type": "tool_result", "tool_use_id": call.id, "content": words} for call, words in results
        ]
        self._messages.append({"role": "user", "content": blocks})
        return await self._ask()

    async def _ask(self) -> Answer:
        pieces: list[str] = []
        if self._options.streamed:
            message = await self._streamed(pieces)
        else:
            message = await self._whole()
        self._messages.append({"role": "assistant", "content": message.content})
        calls = [Call(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]
        usage = message.usage
        cached = usage.cache_read_input_tokens or 0
        return Answer(
            "".join(block.text for block in message.content if block.type == "text"),
            message.stop_reason or "",
            Used(usage.input_tokens + cached, cached, usage.output_tokens),
            self._heads.latest,
            tuple(calls),
            "".join(block.thinking for block in message.content if block.type == "thinking"),
            message.parsed_output,
            tuple(pieces),
        )

    async def _whole(self) -> ParsedMessage[BaseModel]:
        options = self._options
        return await self._sdk.messages.parse(
            model=options.model,
            messages=self._messages,
            max_tokens=options.output_tokens,
            system=options.system or anthropic.omit,
            tools=_tools(options) or anthropic.omit,
            tool_choice={"type": "tool", "name": options.forced} if options.forced else anthropic.omit,
            output_format=options.schema or anthropic.omit,
            stop_sequences=options.stops or anthropic.omit,
            thinking={"type": "adaptive"} if options.thinking else anthropic.omit,
            extra_body={"top_k": 5} if options.peculiar else None,
            extra_headers=options.headers,
        )

    async def _streamed(self, pieces: list[str]) -> ParsedMessage[BaseModel]:
        options = self._options
        async with self._sdk.messages.stream(
            model=options.model,
            messages=self._messages,
            max_tokens=options.output_tokens,
            system=options.system or anthropic.omit,
            tools=_tools(options) or anthropic.omit,
            tool_choice={"type": "tool", "name": options.forced} if options.forced else anthropic.omit,
            output_format=options.schema or anthropic.omit,
            stop_sequences=options.stops or anthropic.omit,
            thinking={"type": "adaptive"} if options.thinking else anthropic.omit,
            extra_body={"top_k": 5} if options.peculiar else None,
            extra_headers=options.headers,
        ) as stream:
            async for text in stream.text_stream:
                pieces.append(text)
            return await stream.get_final_message()


def _tools(options: Options) -> list[ToolUnionParam]:
    tools = [_tool(tool) for tool in options.tools]
    return [*tools, {"type": "web_search_20250305", "name": "web_search"}] if options.hosted else tools


def _tool(tool: Tool) -> ToolUnionParam:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
