"""An OpenAI chat answer put together from its server-sent events. Pure: bytes in, text and tool calls out."""

import msgspec

from penstock.contracts.errors import Code, Failure


class ToolCallFunction(msgspec.Struct, frozen=True):
    """`arguments` is JSON text as the model wrote it: it may be anything."""

    name: str
    arguments: str


class AskedTool(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool call that the model asks for, as it stands in an assistant message."""

    id: str
    function: ToolCallFunction
    type: str = "function"


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the model said. `finish`: stop, length, tool_calls, content_filter … as the provider says."""

    text: str = ""
    tool_calls: tuple[AskedTool, ...] = ()
    finish: str = ""
    model: str = ""


class _FunctionDelta(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _ToolDelta(msgspec.Struct, frozen=True):
    index: int | None = None
    id: str | None = None
    function: _FunctionDelta | None = None


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolDelta] | None = None


class _Choice(msgspec.Struct, frozen=True):
    index: int = 0
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Chunk(msgspec.Struct, frozen=True):
    model: str = ""
    choices: list[_Choice] = []
    error: _Error | None = None


_decoder = msgspec.json.Decoder(_Chunk)


class _OpenTool:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class AnswerReader:
    """Takes the frames of one streamed answer, cut anywhere; gives the new text of each.

    Only the first choice is read. Raises Failure(UPSTREAM) for what is not such a stream, Failure(TOO_LARGE) when the
    stream grows beyond `stream_max_bytes`.
    """

    def __init__(self, stream_max_bytes: int) -> None:
        self._rest = b""
        self._left = stream_max_bytes
        self._text: list[str] = []
        self._tools: dict[int, _OpenTool] = {}
        self._finish = ""
        self._model = ""

    def feed(self, frame: bytes) -> str:
        """The text that this frame adds."""
        lines = (self._rest + frame).split(b"\n")
        self._rest = lines.pop()
        self._take(len(frame))
        return "".join(self._line(line) for line in lines)

    def answer(self) -> Answer:
        """The whole answer, once the stream is over."""
        last, self._rest = self._rest, b""
        self._line(last)
        tools = (self._tools[index] for index in sorted(self._tools))
        return Answer(
            text="".join(self._text),
            tool_calls=tuple(
                AskedTool(tool.id or f"call_{place}", ToolCallFunction(tool.name, "".join(tool.arguments)))
                for place, tool in enumerate(tools)
            ),
            finish=self._finish,
            model=self._model,
        )

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Failure(Code.TOO_LARGE, "the model's answer is larger than an answer may be")

    def _line(self, line: bytes) -> str:
        line = line.rstrip(b"\r")
        if not line.startswith(b"data:"):
            return ""  # a comment, an event name, or the blank line between events
        data = line[5:].strip()
        if not data or data == b"[DONE]":
            return ""
        try:
            chunk = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Failure(Code.UPSTREAM, "the model's stream cannot be read") from error
        if chunk.error is not None:
            raise Failure(Code.UPSTREAM, "the model's provider reported an error in the middle of its answer")
        self._model = chunk.model or self._model
        return "".join(self._choice(choice) for choice in chunk.choices if choice.index == 0)

    def _choice(self, choice: _Choice) -> str:
        self._finish = choice.finish_reason or self._finish
        for place, delta in enumerate(choice.delta.tool_calls or ()):
            tool = self._tools.setdefault(place if delta.index is None else delta.index, _OpenTool())
            tool.id = tool.id or delta.id or ""
            if delta.function is not None:
                tool.name = tool.name or delta.function.name or ""
                tool.arguments.append(delta.function.arguments or "")
        text = (choice.delta.content or "") + (choice.delta.refusal or "")
        if text:
            self._text.append(text)
        return text
