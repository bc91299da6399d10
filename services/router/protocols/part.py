"""What messages are made of, in no protocol's spelling. Values only."""

from typing import Literal

import msgspec


class CacheMark(msgspec.Struct, frozen=True):
    """The prompt up to and with this part may be cached. `ttl`: "5m", "1h", "" for the protocol's own default."""

    ttl: str = ""


class Text(msgspec.Struct, frozen=True):
    """Plain text."""

    text: str
    cache: CacheMark | None = None


class Refusal(msgspec.Struct, frozen=True):
    """The model's words for not answering (OpenAI); text elsewhere."""

    text: str


class Media(msgspec.Struct, frozen=True):
    """An image, a sound, a document. Exactly one of `data` (base64 as it came, never decoded), `url` and `file` (an
    id at the provider that keeps it, which only that provider understands) is set.

    `type`: MIME type, "" when the protocol did not say. `detail`: OpenAI's, for images. `name`: a file's name or title.
    """

    kind: Literal["image", "audio", "document", "video"]
    type: str = ""
    data: str = ""
    url: str = ""
    file: str = ""
    detail: str = ""
    name: str = ""
    cache: CacheMark | None = None


class Thinking(msgspec.Struct, frozen=True):
    """Reasoning that the model showed, and what proves it to the endpoint that minted it.

    `text` is what may be read (a summary in Responses). `signature`: Anthropic's, or Gemini's thought signature.
    `sealed`: reasoning that only its endpoint can read (Anthropic's redacted data, OpenAI's encrypted_content). `id`:
    Responses' item id. A part with a signature or a seal goes back byte for byte, or not at all.
    """

    text: str = ""
    signature: str = ""
    sealed: str = ""
    id: str = ""


class ToolCall(msgspec.Struct, frozen=True):
    """The model asks for a tool. `arguments`: JSON text as the model wrote it ("" stands for {}); for a `custom` tool
    (OpenAI's free-form ones) any text. `signature`: Gemini's thought signature on the call. `namespace`: of a tool that
    was listed within one (Responses); `id` is unique in the history."""

    id: str
    name: str
    arguments: str = ""
    custom: bool = False
    namespace: str = ""
    signature: str = ""


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool gave. `parts` are Text and Media only. `name`: of the tool, where the protocol or history says."""

    call: str
    parts: "tuple[Text | Media, ...]" = ()
    name: str = ""
    failed: bool = False
    cache: CacheMark | None = None


class Opaque(msgspec.Struct, frozen=True):
    """A part that only the protocol `origin` knows (a server's own tool use, a citation block …): carried raw between
    two ends of that protocol, a loss anywhere else. `type`: the protocol's word for it."""

    origin: str
    type: str
    raw: msgspec.Raw


Part = Text | Refusal | Media | Thinking | ToolCall | ToolResult | Opaque
