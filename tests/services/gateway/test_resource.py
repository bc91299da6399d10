"""The edge as a protected resource: what it says of itself, and what it tells a client that it refuses."""

import json

import pytest

from penstock.contracts.errors import Code, Failure
from services.gateway.resource import Resource

PLANE = Resource("https://plane.example.com", ("https://idp.example.com/",), ("model.*", "tool.call"))
UNNAMED = Resource("", (), ())


def test_the_metadata_names_the_resource_and_who_gives_tokens_for_it() -> None:
    assert json.loads(PLANE.metadata("/v1/models")) == {
        "resource": "https://plane.example.com/v1/models",
        "authorization_servers": ["https://idp.example.com/"],
        "scopes_supported": ["model.*", "tool.call"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Penstock",
    }
    assert json.loads(PLANE.metadata(""))["resource"] == "https://plane.example.com"


@pytest.mark.parametrize("path", ["/../x", "/a//b", '/a"b', "/a b", "/a?b", "/a\n", "x", "/" + "a" * 65])
def test_a_path_that_could_not_be_ours_has_no_metadata(path: str) -> None:
    with pytest.raises(Failure) as caught:
        PLANE.metadata(path)
    assert caught.value.code is Code.NOT_FOUND


def test_without_an_address_there_is_no_metadata() -> None:
    with pytest.raises(Failure):
        UNNAMED.metadata("")


def test_who_brings_nothing_is_told_where_to_get_it_and_what_to_ask_for() -> None:
    assert PLANE.challenge(Failure(Code.UNAUTHENTICATED), "/v1/models", presented=False) == {
        "www-authenticate": 'Bearer realm="penstock", resource_metadata="https://plane.example.com'
        '/.well-known/oauth-protected-resource/v1/models", scope="model.* tool.call"'
    }


def test_who_brings_a_bad_token_is_told_so() -> None:
    assert UNNAMED.challenge(Failure(Code.UNAUTHENTICATED), "/v1/models", presented=True) == {
        "www-authenticate": 'Bearer realm="penstock", error="invalid_token"'
    }


def test_who_lacks_a_scope_is_told_which() -> None:
    failure = Failure(Code.DENIED, reasons=("the token's scopes do not include tool.call",))
    assert PLANE.challenge(failure, "/v1/jobs", presented=True) == {
        "www-authenticate": 'Bearer realm="penstock", error="insufficient_scope", resource_metadata="https://plane.'
        'example.com/.well-known/oauth-protected-resource/v1/jobs", scope="tool.call"'
    }


def test_a_scope_that_could_break_the_header_is_left_out() -> None:
    failure = Failure(Code.DENIED, reasons=("the token's scopes do not include a\"\r\nset-cookie: x",))
    assert UNNAMED.challenge(failure, "/", presented=True) == {
        "www-authenticate": 'Bearer realm="penstock", error="insufficient_scope"'
    }


@pytest.mark.parametrize("failure", [Failure(Code.DENIED, reasons=("no policy permits this",)), Failure(Code.INVALID)])
def test_what_no_token_would_change_has_no_challenge(failure: Failure) -> None:
    assert PLANE.challenge(failure, "/", presented=True) == {}
