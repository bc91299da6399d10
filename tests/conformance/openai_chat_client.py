"""Chat completions by OpenAI's library: plain calls, and its helpers where there are tools or a schema."""

import base64
import json
from collections.abc import Sequence

import httpx2
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
    ChatCompletionToolUnionParam,
    ParsedChatCompletion,
    ParsedChatCompletionMessage,
)
from pydantic import BaseModel

from penstock.contracts.llm import OPENAI_CHAT
from tests.conformance.client import Answer, Call, Heads, Options, Tool, Used


class ChatClient:
    protocol = OPENAI_CHAT

    def __init__(self, url: str, key: str) -> None:
        self.heads = Heads()
        self.sdk = sdk(url, key, self.heads)

    def talk(self, options: Options) -> "ChatTalk":
        return ChatTalk(self.sdk, self.heads, options)

    async def count(self, model: str, words: str) -> int:
        raise NotImplementedError("chat completions has no way to count")

    async def models(self) -> list[str]:
        return [model.id async for model in self.sdk.models.list()]

    async def close(self) -> None:
        await self.sdk.close()


def sdk(url: str, key: str, heads: Heads) -> openai.AsyncOpenAI:
    async def see(response: httpx2.Response) -> None:
        heads.see(response.headers)

    http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [see]})
    return openai.AsyncOpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0, http_client=http)


class ChatTalk:
    def __init__(self, sdk: openai.AsyncOpenAI, heads: Heads, options: Options) -> None:
        self._sdk = sdk
        self._heads = heads
        self._options = options
        self._messages: list[ChatCompletionMessageParam] = []
        if options.system:
            self._messages.append({"role": "system", "content": options.system})
        for user, assistant in options.earlier:
            self._messages.append({"role": "user", "content": user})
            self._messages.append({"role": "assistant", "content": assistant})

    async def say(self, words: str, *, image: bytes = b"") -> Answer:
        parts: list[ChatCompletionContentPartParam] = [{"type": "text", "text": words}]
        if image:
            data = base64.b64encode(image).decode()
            parts.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}})
        self._messages.append({"role": "user", "content": parts if image else words})
        return await self._ask()

    async def tell(self, results: Sequence[tuple[Call, str]]) -> Answer:
        for call, words in results:
            self._messages.append({"role": "tool", "tool_call_id": call.id, "content": words})
        return await self._ask()

    async def _ask(self) -> Answer:
        pieces: list[str] = []
        completion = await self._completion(pieces)
        message = completion.choices[0].message
        message.role = "assistant"  # llama.cpp names no role in a stream that begins with an emoji
        self._messages.append(message)  # type: ignore[arg-type]  # it takes its own answers back, as its README does
        calls = [
            Call(call.id, call.function.name, json.loads(call.function.arguments))
            for call in message.tool_calls or []
            if call.type == "function"
        ]
        usage = completion.usage
        assert usage is not None
        details = usage.prompt_tokens_details
        cached = (details.cached_tokens if details else 0) or 0
        return Answer(
            message.content or "",
            completion.choices[0].finish_reason,
            Used(usage.prompt_tokens, cached, usage.completion_tokens),
            self._heads.latest,
            tuple(calls),
            str((message.model_extra or {}).get("reasoning_content") or ""),
            message.parsed if isinstance(message, ParsedChatCompletionMessage) else None,
            tuple(pieces),
        )

    async def _completion(self, pieces: list[str]) -> ChatCompletion | ParsedChatCompletion[BaseModel]:
        if self._options.tools or self._options.schema:
            return await (self._helped_stream(pieces) if self._options.streamed else self._helped())
        return await (self._stream(pieces) if self._options.streamed else self._whole())

    async def _whole(self) -> ChatCompletion:
        options = self._options
        return await self._sdk.chat.completions.create(
            model=options.model,
            messages=self._messages,
            max_completion_tokens=options.output_tokens,
            stop=list(options.stops) or openai.omit,
            reasoning_effort="low" if options.thinking else openai.omit,
            seed=7 if options.peculiar else openai.omit,
            web_search_options={} if options.hosted else openai.omit,
            extra_headers=options.headers,
        )

    async def _stream(self, pieces: list[str]) -> ChatCompletion:
        """Gathered with the library's own state of a stream, without its parsing, which takes no cut answers."""
        options = self._options
        stream = await self._sdk.chat.completions.create(
            model=options.model,
            messages=self._messages,
            max_completion_tokens=options.output_tokens,
            stop=list(options.stops) or openai.omit,
            reasoning_effort="low" if options.thinking else openai.omit,
            seed=7 if options.peculiar else openai.omit,
            web_search_options={} if options.hosted else openai.omit,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers=options.headers,
        )
        state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
        async for chunk in stream:
            state.handle_chunk(chunk)
            pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        return state.current_completion_snapshot

    async def _helped(self) -> ParsedChatCompletion[BaseModel]:
        options = self._options
        return await self._sdk.chat.completions.parse(
            model=options.model,
            messages=self._messages,
            tools=[_tool(tool) for tool in options.tools] or openai.omit,
            tool_choice={"type": "function", "function": {"name": options.forced}} if options.forced else openai.omit,
            response_format=options.schema or openai.omit,
            max_completion_tokens=options.output_tokens,
            extra_headers=options.headers,
        )

    async def _helped_stream(self, pieces: list[str]) -> ParsedChatCompletion[BaseModel]:
        options = self._options
        async with self._sdk.chat.completions.stream(
            model=options.model,
            messages=self._messages,
            tools=[_tool(tool) for tool in options.tools] or openai.omit,
            tool_choice={"type": "function", "function": {"name": options.forced}} if options.forced else openai.omit,
            response_format=options.schema or openai.omit,
            max_completion_tokens=options.output_tokens,
            stream_options={"include_usage": True},
            extra_headers=options.headers,
        ) as stream:
            async for event in stream:
                if event.type == "content.delta" and event.delta:  # the first names only the role
                    pieces.append(event.delta)
            return await stream.get_final_completion()


def _tool(tool: Tool) -> ChatCompletionToolUnionParam:
    # its helpers refuse tools that are not strict
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema, "strict": True}
    return {"type": "function", "function": function}  # type: ignore[typeddict-item]  # a plain dict is one
