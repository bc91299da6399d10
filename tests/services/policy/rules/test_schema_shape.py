"""The attributes that a schema declares."""

import cedarpy
import pytest

from services.policy.rules.schema_shape import Action, Attribute, ShapeUnreadable, read_shape

STRING = Attribute("String")


def shape_of(text: str) -> tuple[dict[str, dict[str, Attribute]], dict[str, Action]]:
    shape = read_shape(str(cedarpy.Schema.from_str(text)))
    return dict(shape.entities), dict(shape.actions)


def test_entities_and_actions_are_found_with_their_attributes() -> None:
    entities, actions = shape_of("""
        entity Group;
        entity A, B in [Group] = { "a name": String, n?: Long, s: Set<String>, g: Group, d: decimal };
        action read, "write all" in [Action::"any"] appliesTo { principal: [A, B], resource: Group };
        action any;
    """)

    record = {
        "a name": STRING,
        "n": Attribute("Long", required=False),
        "s": Attribute("Set<String>"),
        "g": Attribute("Group"),
        "d": Attribute("decimal"),
    }
    assert entities == {"Group": {}, "A": record, "B": record}
    assert actions == {
        "read": Action(("A", "B"), ("Group",), {}, ("any",)),
        "write all": Action(("A", "B"), ("Group",), {}, ("any",)),
        "any": Action(),
    }


def test_common_types_are_looked_through() -> None:
    entities, actions = shape_of("""
        type Name = String;
        type Facts = { who: Name, more: { deep: Long }, all: Set<Name> };
        entity A = { who: Name, more: { deep: Long }, all: Set<Name> };
        action read appliesTo { principal: A, resource: A, context: Facts };
    """)

    record = {"who": STRING, "more": Attribute("Record"), "all": Attribute("Set<String>")}
    assert entities["A"] == record
    assert actions["read"].context == record


def test_tags_enumerations_and_annotations_are_passed_over() -> None:
    entities, _ = shape_of("""
        entity Color enum ["red", "blue"];
        @doc("who asks") entity A = { @doc("a name") name: String } tags Set<String>;
        action read appliesTo { principal: A, resource: Color };
    """)

    assert entities == {"Color": {}, "A": {"name": STRING}}


@pytest.mark.parametrize("text", ["namespace N { entity A; }", "entity A = {", "entity A = { a String };", "entity #;"])
def test_what_is_not_understood_is_said(text: str) -> None:
    with pytest.raises(ShapeUnreadable):
        read_shape(text)
