"""What stands beside answers: counting tokens before the call, and the list of models."""

import pytest

from tests.conformance.cell import CLIENTS, Cell, ids

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

WHOLE = [id for id in ids() if not id.endswith("-streamed")]


@pytest.mark.parametrize("cell", [id for id in WHOLE if not id.startswith("chat")], indirect=True)
async def test_tokens_are_counted_by_the_provider_where_it_can_and_estimated_elsewhere(cell: Cell) -> None:
    counted = await cell.client.count(cell.provider_name, "The quick brown fox jumps over the lazy dog.")
    if cell.provider_name in ("anthropic", "gemini"):
        assert counted == 77
    else:
        assert 5 <= counted <= 40


@pytest.mark.parametrize("cell", [f"{client}-over-gemini" for client in CLIENTS], indirect=True)
async def test_the_models_are_the_aliases_that_the_caller_may_use(cell: Cell) -> None:
    listed = await cell.client.models()
    assert [name for name in listed if "-over-" not in name] == [
        "anthropic",
        "azure",
        "compatible",
        "gemini",
        "openai-chat",
        "openai-responses",
        "scripted",
    ]
