"""What was sent yesterday is understood today: a golden sample of every message type, never to be changed.

A new type or field needs a value in samples.py and a file made by make_golden.py. A failing test here means that
messages of a released version are no longer read: fields are only added, each with a usable default.
"""

import inspect
import json
from pathlib import Path

import msgspec
import pytest

from penstock.contracts import (
    approvals,
    audit,
    bundles,
    context,
    delegation,
    errors,
    jobs,
    keys,
    llm,
    meta,
    money,
    policy,
    runs,
    subjects,
    tools,
)
from penstock.contracts.endpoint import Bucket, Call, Event, Journal, Stream, Work
from tests.libs.contracts.samples import ON_THE_WIRE, Sample

GOLDEN = Path(__file__).with_name("golden")
OLDER = sorted((GOLDEN / "older").glob("*.json"))
MODULES = (approvals, audit, bundles, context, delegation, errors, jobs, keys, llm, meta, money, policy, runs, tools)
TOLERANT = [value for value in ON_THE_WIRE if not isinstance(value, jobs.Job | keys.KeyCreate)]
"""A Job refuses fields that it does not know, and so does a new key: a misspelt limit must not be ignored."""
PLAIN = (str, int)
"""Buckets may hold these as they are."""

samples = pytest.mark.parametrize("value", ON_THE_WIRE, ids=lambda value: type(value).__name__)


def golden(value: Sample) -> bytes:
    return (GOLDEN / f"{type(value).__name__}.json").read_bytes()


def message_types() -> dict[str, type[msgspec.Struct]]:
    """Every message type that the contracts define; RunEvent is only what the journal's events share."""
    found: dict[str, type[msgspec.Struct]] = {}
    for module in MODULES:
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__ and kind is not runs.RunEvent:
                found[name] = kind
    return found


def with_unknown_fields(document: object, strict: frozenset[str] = frozenset()) -> object:
    """The document with a field of tomorrow in every object, but not below the keys in `strict`."""
    if isinstance(document, list):
        return [with_unknown_fields(one, strict) for one in document]
    if not isinstance(document, dict):
        return document
    grown = {key: one if key in strict else with_unknown_fields(one, strict) for key, one in document.items()}
    return grown | {"field_of_tomorrow": {"a": [1]}}


def within(part: object, whole: object) -> bool:
    """Whether all of `part` stands in `whole`, which may have more fields."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(within(*pair) for pair in zip(part, whole, strict=True))
    return part == whole


@samples
def test_the_golden_sample_is_read_as_the_value_it_stands_for(value: Sample) -> None:
    assert msgspec.json.decode(golden(value), type=type(value)) == value


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.stem)
def test_a_sample_from_before_a_field_was_added_is_still_read_and_loses_nothing(path: Path) -> None:
    older = path.read_bytes()
    kind = message_types()[path.name.partition(".")[0]]
    assert within(json.loads(older), json.loads(msgspec.json.encode(msgspec.json.decode(older, type=kind))))


@samples
def test_the_value_is_written_with_the_names_and_values_of_the_golden_sample(value: Sample) -> None:
    written, released = json.loads(msgspec.json.encode(value)), json.loads(golden(value))
    assert released.items() <= written.items()


@samples
def test_a_value_comes_back_from_the_wire_as_it_was(value: Sample) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


@samples
def test_every_field_is_set_in_the_sample(value: Sample) -> None:
    tag = value.__struct_config__.tag_field
    assert set(json.loads(golden(value))) - {tag} == set(value.__struct_fields__) - {tag}


@pytest.mark.parametrize("value", TOLERANT, ids=lambda value: type(value).__name__)
def test_a_field_of_tomorrow_is_passed_over(value: Sample) -> None:
    free = frozenset(
        {
            "applied",
            "job",
            "properties",
            "context",
            "labels",
            "headers",
            "variables",
            "overhead_ms",
            "details",
            "facts",
            "files",
            "found",
            "input",
            *_raw_fields(type(value)),
        }
    )
    document = with_unknown_fields(json.loads(golden(value)), free)
    grown = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    assert "field_of_tomorrow" in grown
    assert msgspec.json.decode(grown, type=type(value)) == msgspec.json.decode(golden(value), type=type(value))


def test_a_job_with_a_field_that_is_not_known_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `buget`"):
        msgspec.json.decode(b'{"kind":"chat","input":"hi","buget":{"usd":1}}', type=jobs.Job)


def test_every_message_type_has_its_sample() -> None:
    assert {type(value).__name__ for value in ON_THE_WIRE} == set(message_types())


def test_every_golden_file_belongs_to_a_type() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {type(value).__name__ for value in ON_THE_WIRE}


def test_every_type_of_the_table_of_subjects_is_among_them() -> None:
    known = set(message_types().values())
    for name, endpoint in subjects.ENDPOINTS.items():
        match endpoint:
            case Call():
                kinds = [endpoint.request, endpoint.reply]
            case Stream():
                kinds = [endpoint.request, endpoint.end]
            case Journal():
                kinds = list(runs.AnyRunEvent.__args__)
            case Event() | Work() | Bucket():
                kinds = [endpoint.body]
            case _:
                kinds = []
        assert kinds and all(kind in known or kind in PLAIN for kind in kinds), name


def test_every_event_of_the_journal_is_told_apart_by_its_type() -> None:
    events = [value for value in ON_THE_WIRE if isinstance(value, runs.RunEvent)]
    assert len(events) == 12
    for event in events:
        assert msgspec.json.decode(golden(event), type=runs.AnyRunEvent) == event


def test_what_is_not_set_is_not_written() -> None:
    assert msgspec.json.encode(jobs.Submitted("job_1")) == b'{"id":"job_1"}'
    assert msgspec.json.encode(llm.Usage()) == b"{}"


def test_the_sum_of_two_usages_keeps_its_parts_apart() -> None:
    one = llm.Usage(1, 2, 4, 8, 3, False, cache_write_1h=5, audio_input=6, audio_output=7)
    both = one.plus(llm.Usage(10, 20, 40, 80, 30, True, cache_write_1h=50, audio_input=60, audio_output=70))
    assert both == llm.Usage(11, 22, 44, 88, 33, True, cache_write_1h=55, audio_input=66, audio_output=77)
    assert (both.input, both.total) == (11 + 22 + 44 + 55 + 66, 11 + 22 + 44 + 55 + 66 + 88)


@pytest.mark.parametrize("text", [b'"hi"', b"[1, 2]", b"null", b'{"a": {"b": 1.50}}'])
def test_a_job_carries_its_input_byte_for_byte(text: bytes) -> None:
    job = msgspec.json.decode(b'{"kind":"chat","input":' + text + b"}", type=jobs.Job)
    assert bytes(job.input) == text
    assert text in msgspec.json.encode(job)


def _raw_fields(kind: type[msgspec.Struct]) -> set[str]:
    """Names of fields whose JSON is carried as it came."""
    found = {"arguments", "input", "output", "body", "message", "data", "result", "parameters"}
    return found & {field.encode_name for field in msgspec.structs.fields(kind)} | found
