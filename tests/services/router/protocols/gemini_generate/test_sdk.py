"""What google-genai, Google's own client library, makes of answers, and what it sends."""

import json

import msgspec
from google.genai import types
from hypothesis import given

from penstock.contracts.llm import GEMINI_GENERATE
from services.router.protocols.answer import Answer
from services.router.protocols.fold import unfold
from services.router.protocols.gemini_generate import PROTOCOL
from services.router.protocols.loss import Losses
from services.router.protocols.part import Text, ToolCall
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Shape, Target
from tests.services.router.protocols.gemini_generate.test_answer import plain
from tests.services.router.protocols.gemini_generate.unhurried import unhurried
from tests.services.router.protocols.neutral import answers, prompts

SHAPE = Shape("gemini-3-pro", "id", 0)


@unhurried
@given(answers(choices_max=2).map(plain))
def test_the_client_library_reads_every_field_of_an_answer(answer: Answer) -> None:
    raw = PROTOCOL.write_answer(answer, SHAPE, Losses())
    # its types refuse names they do not know
    response = types.GenerateContentResponse.model_validate_json(raw)
    assert response.candidates is not None
    first = answer.choices[0]
    words = "".join([part.text for part in first.parts if isinstance(part, Text)])
    calls = [(part.id, part.name, json.loads(part.arguments)) for part in first.parts if isinstance(part, ToolCall)]
    held = response.candidates[0].content
    assert held is not None
    parts = held.parts or []
    assert "".join([part.text or "" for part in parts]) == words
    assert [
        (part.function_call.id, part.function_call.name, part.function_call.args)
        for part in parts
        if part.function_call
    ] == calls
    assert answer.usage is not None
    assert response.usage_metadata is not None
    assert response.usage_metadata.total_token_count == answer.usage.total


@unhurried
@given(answers().map(plain))
def test_the_client_library_reads_every_event_of_a_stream(answer: Answer) -> None:
    writer = PROTOCOL.writer(SHAPE, Losses())
    raw = b"".join([*[writer.write(piece) for piece in unfold(answer)], writer.end()])
    found = [
        types.GenerateContentResponse.model_validate_json(line.removeprefix(b"data: "))
        for line in raw.split(b"\n\n")
        if line
    ]
    last = found[-1].candidates
    assert last is not None
    assert last[0].finish_reason is not None
    assert all(one.candidates and one.candidates[0].finish_reason is None for one in found[:-1])


@unhurried
@given(prompts(GEMINI_GENERATE))
def test_contents_and_tools_are_written_in_words_of_the_client_library(prompt: Prompt) -> None:
    found = json.loads(PROTOCOL.write_prompt(prompt, Target("m", "e", False), Losses()))
    for content in found["contents"]:
        types.Content.model_validate_json(json.dumps(content))
    for tool in found.get("tools", []):
        types.Tool.model_validate_json(json.dumps(tool))
    types.GenerationConfig.model_validate_json(json.dumps(found["generationConfig"]))


def test_what_the_client_library_sends_back_of_an_answer_is_the_same_history() -> None:
    raw = (
        b'{"candidates":[{"content":{"role":"model","parts":[{"text":"Hm","thought":true,"thoughtSignature":"QUJD"},'
        b'{"functionCall":{"id":"c1","name":"f","args":{"a":1}},"thoughtSignature":"/+8="}]},"finishReason":"STOP"}]}'
    )
    response = types.GenerateContentResponse.model_validate_json(raw)
    assert response.candidates is not None
    assert response.candidates[0].content is not None
    back = response.candidates[0].content.model_dump_json(by_alias=True, exclude_none=True)
    prompt = PROTOCOL.read(msgspec.json.encode({"contents": [msgspec.Raw(back.encode())]}), "m").prompt()
    thinking, call = prompt.turns[0].parts
    assert (thinking.text, thinking.signature) == ("Hm", "QUJD")  # type: ignore[union-attr]  # a wrong kind fails here
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, json.loads(call.arguments), call.signature) == ("c1", "f", {"a": 1}, "_-8=")
