"""generateContent by Google's library."""

from collections.abc import Sequence

from google import genai
from google.genai import types
from pydantic import BaseModel

from penstock.contracts.llm import GEMINI_GENERATE
from tests.conformance.client import Answer, Call, Heads, Options, Tool, Used


class GoogleClient:
    protocol = GEMINI_GENERATE

    def __init__(self, url: str, key: str) -> None:
        # kept: one that nobody keeps closes itself
        self._whole = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url))
        self.sdk = self._whole.aio

    def talk(self, options: Options) -> "GoogleTalk":
        return GoogleTalk(self.sdk, options)

    async def count(self, model: str, words: str) -> int:
        return (await self.sdk.models.count_tokens(model=model, contents=words)).total_tokens or 0

    async def models(self) -> list[str]:
        return [(model.name or "").removeprefix("models/") async for model in await self.sdk.models.list()]

    async def close(self) -> None:
        await self.sdk.aclose()
        self._whole.close()


class GoogleTalk:
    def __init__(self, sdk: genai.client.AsyncClient, options: Options) -> None:
        self._sdk = sdk
        self._options = options
        self._heads = Heads()
        self._contents: list[types.Content] = []
        for user, assistant in options.earlier:
            self._contents.append(types.UserContent(user))
            self._contents.append(types.ModelContent(assistant))

    async def say(self, words: str, *, image: bytes = b"") -> Answer:
        parts = [types.Part(text=words)]
        if image:
            parts.append(types.Part.from_bytes(data=image, mime_type="image/png"))
        self._contents.append(types.Content(role="user", parts=parts))
        return await self._ask()

    async def tell(self, results: Sequence[tuple[Call, str]]) -> Answer:
        parts = [
            types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": words}))
            for call, words in results
        ]
        self._contents.append(types.Content(role="user", parts=parts))
        return await self._ask()

    async def _ask(self) -> Answer:
        answers = await self._answers()
        parts: list[types.Part] = []
        reason = ""
        for answer in answers:
            assert answer.candidates
            (candidate,) = answer.candidates
            reason = candidate.finish_reason.value if candidate.finish_reason else reason
            if candidate.content is not None:
                parts += candidate.content.parts or []
                self._contents.append(candidate.content)  # each piece by itself, as its own chats do
        texts = [part.text for part in parts if part.text and not part.thought]
        usage = answers[-1].usage_metadata
        assert usage is not None
        answered = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        parsed = answers[-1].parsed
        return Answer(
            "".join(texts),
            reason,
            Used(usage.prompt_token_count or 0, usage.cached_content_token_count or 0, answered),
            self._heads.latest,
            tuple(
                Call(part.function_call.id or "", part.function_call.name or "", part.function_call.args or {})
                for part in parts
                if part.function_call
            ),
            "".join(part.text or "" for part in parts if part.thought),
            self._parsed("".join(texts), parsed),
            tuple(texts) if self._options.streamed else (),
        )

    def _parsed(self, text: str, parsed: object) -> BaseModel | None:
        """The library parses whole answers; of streams its user does."""
        schema = self._options.schema
        if schema is None:
            return None
        if self._options.streamed:
            return schema.model_validate_json(text)
        assert isinstance(parsed, schema)
        return parsed

    async def _answers(self) -> list[types.GenerateContentResponse]:
        contents: list[types.ContentUnion] = [*self._contents]
        options = self._options
        if not options.streamed:
            answers = [
                await self._sdk.models.generate_content(model=options.model, contents=contents, config=_config(options))
            ]
        else:
            stream = await self._sdk.models.generate_content_stream(
                model=options.model, contents=contents, config=_config(options)
            )
            answers = [chunk async for chunk in stream]
        if (http := answers[0].sdk_http_response) is not None:
            self._heads.see(http.headers or {})
        return answers


def _config(options: Options) -> types.GenerateContentConfig:
    config = types.GenerateContentConfig(
        max_output_tokens=options.output_tokens,
        http_options=types.HttpOptions(headers=dict(options.headers)),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    if options.stops:
        config.stop_sequences = list(options.stops)
    if options.system:
        config.system_instruction = options.system
    if options.tools:
        config.tools = [types.Tool(function_declarations=[_tool(tool) for tool in options.tools])]
    if options.hosted:
        config.tools = [*(config.tools or []), types.Tool(google_search=types.GoogleSearch())]
    if options.forced:
        mode = types.FunctionCallingConfigMode.ANY
        calling = types.FunctionCallingConfig(mode=mode, allowed_function_names=[options.forced])
        config.tool_config = types.ToolConfig(function_calling_config=calling)
    if options.schema is not None:
        config.response_mime_type = "application/json"
        config.response_schema = options.schema
    if options.thinking:
        config.thinking_config = types.ThinkingConfig(include_thoughts=True)
    if options.peculiar:
        config.top_k = 5
    return config


def _tool(tool: Tool) -> types.FunctionDeclaration:
    return types.FunctionDeclaration(name=tool.name, description=tool.description, parameters_json_schema=tool.schema)
