"""The list of models is what policy lets the caller use."""

from penstock.contracts.llm import ModelInfo, Models, ModelsRequest
from penstock.contracts.subjects import LLM_MODELS
from tests.services.router.conftest import Plane


async def listed(plane: Plane) -> Models:
    return await plane.bus.call(LLM_MODELS, ModelsRequest(), plane.meta())


async def test_aliases_are_listed_sorted_with_what_they_do(plane: Plane) -> None:
    plane.deploy("another", "three", tools=False, context_tokens=8000)
    plane.deploy("vectors", "four", kinds=["embeddings"], tools=False)
    plane.default = {"chat": "chat", "embed": "vectors"}
    async with plane.router():
        models = await listed(plane)
    assert models == Models(
        [
            ModelInfo("another", ("chat",), "openai_compatible", 8000, False),
            ModelInfo("chat", ("chat",), "openai_compatible", 0, True),
            ModelInfo("vectors", ("embeddings",), "openai_compatible", 0, False),
        ],
        "chat",
        "vectors",
    )


async def test_what_the_caller_may_not_use_is_not_listed(plane: Plane) -> None:
    plane.deploy("vectors", "four", kinds=["embeddings"], tools=False)
    plane.default = {"chat": "chat", "embed": "vectors"}
    await plane.log_in(scopes=("model.embed",))
    async with plane.router():
        models = await listed(plane)
    assert [model.id for model in models.models] == ["vectors"]
    assert (models.default_chat, models.default_embed) == ("", "vectors")


async def test_without_models_the_list_is_empty(plane: Plane) -> None:
    plane.deployments.clear()
    plane.aliases.clear()
    async with plane.router():
        assert await listed(plane) == Models([])
