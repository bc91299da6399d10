"""What a provider's claims mean here; what is not said is not granted."""

import pytest

from penstock.contracts.errors import Code, Failure
from services.policy.oidc.providers import Person, Provider, ProvidersRefused, parse_providers, person

WHOLE = """
providers:
  - issuer: https://idp.example.com/
    audiences: [https://plane.example.com]
    algorithms: [RS256]
    tenant: {claim: [org, id], map: {"17": acme}}
    subject: {claim: preferred_username, prefix: "idp-"}
    team: {claim: "https://example.com/team"}
    scopes: {always: [model.*], claim: groups, map: {admins: ["*", "key:admin"], readers: [job.read]}}
    tools: [search]
    require: {email_verified: true, amr: [mfa, hwk]}
"""
GOOD = {
    "org": {"id": "17"},
    "preferred_username": "alice",
    "https://example.com/team": "ops",
    "groups": ["readers", "strangers"],
    "email_verified": True,
    "amr": ["pwd", "mfa"],
}


def provider(text: str = WHOLE) -> Provider:
    return next(iter(parse_providers(text).values()))


def test_claims_become_tenant_subject_team_and_scopes() -> None:
    assert person(provider(), GOOD) == Person("acme", "user:idp-alice", "ops", ("model.*", "job.read"), ("search",))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"org": {"id": "18"}}, "the claim for its tenant has a value that is not known here"),
        ({"org": "17"}, "the claim for its tenant is not there, or no text"),
        ({"org": {"id": 17}}, "the claim for its tenant is not there, or no text"),
        ({"org": {"id": ["17"]}}, "the claim for its tenant is not there, or no text"),
        ({"preferred_username": ""}, "the claim for its subject is not there, or no text"),
        ({"preferred_username": "\u0430lice"}, "its subject is not a name that can be used here"),
        ({"preferred_username": "alice\u200b"}, "its subject is not a name that can be used here"),
        ({"preferred_username": "a:b"}, "its subject is not a name that can be used here"),
        ({"https://example.com/team": "o\u0440s"}, "its team is not a name that can be used here"),
        ({"https://example.com/team": None}, "the claim for its team is not there, or no text"),
        ({"email_verified": False}, "its claim 'email_verified' is not as it must be"),
        ({"email_verified": "true"}, "its claim 'email_verified' is not as it must be"),
        ({"email_verified": 1}, "its claim 'email_verified' is not as it must be"),
        ({"amr": ["pwd"]}, "its claim 'amr' is not as it must be"),
        ({"amr": {"mfa": True}}, "its claim 'amr' is not as it must be"),
    ],
)
def test_a_claim_that_is_missing_or_of_another_kind_refuses(changed: dict[str, object], why: str) -> None:
    with pytest.raises(Failure) as caught:
        person(provider(), GOOD | changed)
    assert caught.value.code is Code.UNAUTHENTICATED
    assert why in caught.value.detail


def test_who_is_given_no_scope_does_not_get_in() -> None:
    nobody = provider(WHOLE.replace("always: [model.*], ", ""))
    for groups in ([], ["strangers"], {"admins": 1}, None, [["admins"]], 5):
        with pytest.raises(Failure, match="it gives its bearer nothing to do here"):
            person(nobody, GOOD | {"groups": groups})
    assert person(nobody, GOOD | {"groups": "strangers admins"}).scopes == ("*", "key:admin")


def test_a_tenant_that_a_claim_makes_up_is_a_name_or_none() -> None:
    free = provider(WHOLE.replace(', map: {"17": acme}', ""))
    assert person(free, GOOD | {"org": {"id": "umbrella"}}).tenant == "umbrella"
    for name in ("a.b", "*", ">", "a b", "\uff41cme", "", "a" * 65):
        with pytest.raises(Failure):
            person(free, GOOD | {"org": {"id": name}})


@pytest.mark.parametrize(
    ("of", "into", "why"),
    [
        ("[RS256]", "[none]", "Invalid enum value 'none'"),
        ("[RS256]", "[HS256]", "Invalid enum value 'HS256'"),
        ("[RS256]", "[]", "algorithms: name at least one"),
        ("https://idp.example.com/", "http://idp.example.com/", "is no address to be used"),
        ("https://idp.example.com/", "https://u:p@idp.example.com/", "is no address to be used"),
        ("https://idp.example.com/", "file:///etc/passwd", "is no address to be used"),
        ("https://idp.example.com/", "https://[::1", "is no address to be used"),
        ("[https://plane.example.com]", "[]", "audiences: name the edge"),
        ("{claim: [org, id]", "{value: acme, claim: [org, id]", "tenant: write either a value or a claim"),
        ("{claim: [org, id]", '{claim: ""', "tenant: write either a value or a claim"),
        ("[job.read]", '["job read"]', "is not a scope"),
        ("    require:", "    requires:", "unknown field `requires`"),
        ("providers:", "provider:", "unknown field `provider`"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_a_sentence(of: str, into: str, why: str) -> None:
    assert of in WHOLE
    with pytest.raises(ProvidersRefused) as caught:
        parse_providers(WHOLE.replace(of, into))
    assert why in str(caught.value)


def test_an_issuer_stands_there_once() -> None:
    with pytest.raises(ProvidersRefused, match="stands there twice"):
        parse_providers(WHOLE + WHOLE.partition("providers:\n")[2])


def test_an_empty_file_trusts_nobody() -> None:
    assert parse_providers("") == {}
