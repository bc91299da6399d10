"""What a provider refuses, and what the plane refuses by itself: each client raises the class that it has for it."""

from collections.abc import Mapping

import anthropic
import openai
import pytest
from google.genai import errors as google

from tests.conformance.cell import Cell, ids
from tests.conformance.client import Options
from tests.conformance.conftest import MAKERS
from tests.conformance.edge import Edge
from tests.support.providers.server import KEY

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

Refusal = tuple[type[Exception], int]

OPENAI: Mapping[int, Refusal] = {
    400: (openai.BadRequestError, 400),
    401: (openai.InternalServerError, 502),
    404: (openai.InternalServerError, 502),
    429: (openai.RateLimitError, 429),
    500: (openai.InternalServerError, 502),
    529: (openai.InternalServerError, 502),
}
PROVIDERS: Mapping[str, Mapping[int, Refusal]] = {
    "chat": OPENAI,
    "responses": OPENAI,
    "anthropic": {
        400: (anthropic.BadRequestError, 400),
        401: (anthropic.InternalServerError, 502),
        404: (anthropic.InternalServerError, 502),
        429: (anthropic.RateLimitError, 429),
        500: (anthropic.InternalServerError, 502),
        529: (anthropic.InternalServerError, 502),
    },
    "google": {
        400: (google.ClientError, 400),
        401: (google.ServerError, 502),
        404: (google.ServerError, 502),
        429: (google.ClientError, 429),
        500: (google.ServerError, 502),
        529: (google.ServerError, 502),
    },
}
"""By what the provider answered. Its 401 and 404 are of the plane's own key and settings: nothing the caller did."""

SAID = {
    400: "you asked me to fail 400",
    401: "upstream credentials exhausted",
    404: "does not know the model",
    429: "limits our rate",
    500: "answered with status 500",
    529: "answered with status 529",
}


def status_of(error: Exception) -> int:
    if isinstance(error, google.APIError):
        return int(error.code)
    assert isinstance(error, openai.APIStatusError | anthropic.APIStatusError)
    return error.status_code


@pytest.mark.parametrize("status", SAID)
@pytest.mark.parametrize("cell", ids(), indirect=True)
async def test_a_providers_error_is_the_class_that_the_client_has_for_it(cell: Cell, status: int) -> None:
    kind, shown = PROVIDERS[cell.client_name][status]
    # a refused key and a limited rate keep a deployment from being asked for a while: these have their own
    model = f"{cell.id}-{status}" if status in (401, 429) else cell.provider_name
    with pytest.raises(kind, match=SAID[status]) as raised:
        await cell.talk(model=model).say(f"Please fail {status}.")
    assert status_of(raised.value) == shown
    assert KEY not in str(raised.value)


BROKEN: Mapping[str, type[Exception]] = {
    "chat": openai.APIError,
    "responses": openai.APIError,
    "anthropic": anthropic.APIStatusError,
    "google": google.ServerError,
}


@pytest.mark.parametrize("cell", [id for id in ids() if id.endswith("-streamed")], indirect=True)
async def test_a_stream_that_the_provider_breaks_off_does_not_end_as_if_it_were_whole(cell: Cell) -> None:
    with pytest.raises(BROKEN[cell.client_name], match=r"cut short|ended early"):
        await cell.talk().say("Please break off.")


REFUSALS: Mapping[str, Mapping[str, Refusal]] = {
    "wrong_key": {
        "chat": (openai.AuthenticationError, 401),
        "responses": (openai.AuthenticationError, 401),
        "anthropic": (anthropic.AuthenticationError, 401),
        "google": (google.ClientError, 401),
    },
    "tools_only": {
        "chat": (openai.PermissionDeniedError, 403),
        "responses": (openai.PermissionDeniedError, 403),
        "anthropic": (anthropic.PermissionDeniedError, 403),
        "google": (google.ClientError, 403),
    },
    "poor": {
        "chat": (openai.APIStatusError, 402),
        "responses": (openai.APIStatusError, 402),
        "anthropic": (anthropic.APIStatusError, 402),
        "google": (google.ClientError, 402),
    },
    "unknown_model": {
        "chat": (openai.NotFoundError, 404),
        "responses": (openai.NotFoundError, 404),
        "anthropic": (anthropic.NotFoundError, 404),
        "google": (google.ClientError, 404),
    },
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", ["chat", "responses", "anthropic", "google"])
@pytest.mark.parametrize("why", REFUSALS)
async def test_a_refusal_of_the_planes_own_is_the_class_that_the_client_has_for_it(
    running_edge: Edge, why: str, client: str, streamed: bool
) -> None:
    keys = running_edge.keys
    key = {"wrong_key": "psk_wrong", "tools_only": keys.tools_only, "poor": keys.poor}.get(why, keys.good)
    model = "nothing" if why == "unknown_model" else "anthropic"
    running_edge.providers.received.clear()
    kind, status = REFUSALS[why][client]
    made = MAKERS[client](running_edge.url, key)
    try:
        with pytest.raises(kind) as raised:
            await made.talk(Options(model, streamed=streamed)).say("Say hello.")
    finally:
        await made.close()
    assert status_of(raised.value) == status
    assert running_edge.providers.received == []
