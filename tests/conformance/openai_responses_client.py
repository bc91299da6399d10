"""Responses by OpenAI's library: `parse` and its stream helper, the history told anew each time or kept by the edge."""

import base64
import json
from collections.abc import Sequence

import openai
from openai.types.responses import (
    ParsedResponse,
    Response,
    ResponseInputContentParam,
    ResponseInputItemParam,
    ToolParam,
)
from pydantic import BaseModel

from penstock.contracts.llm import OPENAI_RESPONSES
from tests.conformance.client import Answer, Call, Heads, Options, Tool, Used
from tests.conformance.openai_chat_client import sdk


class ResponsesClient:
    protocol = OPENAI_RESPONSES
    stateful = False

    def __init__(self, url: str, key: str) -> None:
        self.heads = Heads()
        self.sdk = sdk(url, key, self.heads)

    def talk(self, options: Options) -> "ResponsesTalk":
        return ResponsesTalk(self.sdk, self.heads, options, stateful=self.stateful)

    async def count(self, model: str, words: str) -> int:
        return (await self.sdk.responses.input_tokens.count(model=model, input=words)).input_tokens

    async def models(self) -> list[str]:
        return [model.id async for model in self.sdk.models.list()]

    async def close(self) -> None:
        await self.sdk.close()


class StatefulClient(ResponsesClient):
    """Each turn says what it continues by `previous_response_id`, and nothing of what was said before."""

    stateful = True


class ResponsesTalk:
    def __init__(self, sdk: openai.AsyncOpenAI, heads: Heads, options: Options, *, stateful: bool) -> None:
        self._sdk = sdk
        self._heads = heads
        self._options = options
        self._stateful = stateful
        self._previous = ""
        self._input: list[ResponseInputItemParam] = []
        for user, assistant in options.earlier:
            self._input.append({"role": "user", "content": user})
            self._input.append({"role": "assistant", "content": assistant})

    async def say(self, words: str, *, image: bytes = b"") -> Answer:
        parts: list[ResponseInputContentParam] = [{"type": "input_text", "text": words}]
        if image:
            data = base64.b64encode(image).decode()
            parts.append({"type": "input_image", "image_url": f"data:image/png;base64,{data}", "detail": "auto"})
        self._input.append({"role": "user", "content": parts if image else words})
        return await self._ask()

    async def tell(self, results: Sequence[tuple[Call, str]]) -> Answer:
        for call, words in results:
            self._input.append({"type": "function_call_output", "call_id": call.id, "output": words})
        return await self._ask()

    async def _ask(self) -> Answer:
        pieces: list[str] = []
        response = await (self._streamed(pieces) if self._options.streamed else self._whole())
        if self._stateful:
            self._previous, self._input = response.id, []
        else:
            self._input += response.output  # type: ignore[arg-type]  # it takes its own answers back
        calls = [
            Call(item.call_id, item.name, json.loads(item.arguments))
            for item in response.output
            if item.type == "function_call"
        ]
        thoughts = [part.text for item in response.output if item.type == "reasoning" for part in item.summary]
        usage, cut = response.usage, response.incomplete_details
        assert usage is not None
        return Answer(
            response.output_text,
            (cut.reason if cut is not None else None) or response.status or "",
            Used(usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens),
            self._heads.latest,
            tuple(calls),
            "".join(thoughts),
            response.output_parsed if isinstance(response, ParsedResponse) else None,
            tuple(pieces),
        )

    async def _whole(self) -> ParsedResponse[BaseModel]:
        options = self._options
        return await self._sdk.responses.parse(
            model=options.model,
            input=self._input,
            instructions=options.system or openai.omit,
            previous_response_id=self._previous or openai.omit,
            store=self._stateful,
            tools=_tools(options) or openai.omit,
            tool_choice={"type": "function", "name": options.forced} if options.forced else openai.omit,
            text_format=options.schema or openai.omit,
            max_output_tokens=options.output_tokens,
            include=["reasoning.encrypted_content"] if options.thinking else openai.omit,
            reasoning={"effort": "low", "summary": "auto"} if options.thinking else openai.omit,
            truncation="auto" if options.peculiar else openai.omit,
            extra_headers=options.headers,
        )

    async def _streamed(self, pieces: list[str]) -> ParsedResponse[BaseModel] | Response:
        options = self._options
        async with self._sdk.responses.stream(
            model=options.model,
            input=self._input,
            instructions=options.system or openai.omit,
            previous_response_id=self._previous or openai.omit,
            store=self._stateful,
            tools=_tools(options) or openai.omit,
            tool_choice={"type": "function", "name": options.forced} if options.forced else openai.omit,
            text_format=options.schema or openai.omit,
            max_output_tokens=options.output_tokens,
            include=["reasoning.encrypted_content"] if options.thinking else openai.omit,
            reasoning={"effort": "low", "summary": "auto"} if options.thinking else openai.omit,
            truncation="auto" if options.peculiar else openai.omit,
            extra_headers=options.headers,
        ) as stream:
            cut: Response | None = None
            async for event in stream:
                if event.type == "response.output_text.delta":
                    pieces.append(event.delta)
                elif event.type == "response.incomplete":
                    cut = event.response  # there is no final one then
            return cut or await stream.get_final_response()


def _tools(options: Options) -> list[ToolParam]:
    tools = [_tool(tool) for tool in options.tools]
    return [*tools, {"type": "web_search"}] if options.hosted else tools


def _tool(tool: Tool) -> ToolParam:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.schema,
        "strict": True,
    }
