"""Prompt templates: from a file to messages, or a sentence that says why not."""

from pathlib import Path

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Template
from services.router.protocols.part import Text
from services.router.protocols.prompt import Turn
from services.router.templates.shelf import load
from services.router.templates.version import BadTemplate

GREETING = """
current: "2"
versions:
  "1":
    messages: [{role: system, content: "Greet {{ name }}."}]
    variables: {name: {type: string}}
  "2":
    messages:
      - role: system
        content: "Greet {{ name | title }}{% if formal %} with respect{% endif %}."
      - role: user
        content: "{% for each in topics %}{{ loop.index }}. {{ each }}\\n{% endfor %}"
    variables:
      name: {type: string, maxLength: 20}
      formal: {type: boolean, default: false}
      topics: {type: array, items: {type: string}, default: []}
"""


def write(folder: Path, text: str, name: str = "greeting") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def asked(version: str = "", **variables: object) -> Template:
    return Template("greeting", version, {name: msgspec.Raw(msgspec.json.encode(v)) for name, v in variables.items()})


def render(folder: Path, template: Template) -> tuple[Turn, ...]:
    return load(folder).find(template).render(template.variables)


def one(content: str, variables: str = "{}") -> str:
    return f'current: a\nversions: {{a: {{messages: [{{role: user, content: "{content}"}}], variables: {variables}}}}}'


def test_a_version_is_rendered_with_its_variables_and_defaults(tmp_path: Path) -> None:
    folder = write(tmp_path / "prompts", GREETING)
    turns = render(folder, asked(name="alice", formal=True, topics=["tea", "{{ 7 * 7 }}"]))
    assert turns == (
        Turn("system", (Text("Greet Alice with respect."),)),
        Turn("user", (Text("1. tea\n2. {{ 7 * 7 }}\n"),)),
    )
    assert render(folder, asked("1", name="bob")) == (Turn("system", (Text("Greet bob."),)),)
    assert load(folder).find(asked()).title == "greeting@2"


@pytest.mark.parametrize(
    ("template", "code"),
    [
        (asked(), Code.INVALID),
        (asked(name=7), Code.INVALID),
        (asked(name="x" * 21), Code.INVALID),
        (asked(name="a", other=1), Code.INVALID),
        (asked(name="a", topics="tea"), Code.INVALID),
        (asked("3", name="a"), Code.NOT_FOUND),
        (Template("other"), Code.NOT_FOUND),
        (asked(name="x" * 300_000), Code.TOO_LARGE),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, template: Template, code: Code) -> None:
    folder = write(tmp_path / "prompts", GREETING)
    with pytest.raises(Failure) as caught:
        render(folder, template)
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "is not YAML"),
        ("current: a\nversions: {b: {messages: []}}", "current is 'a', which is not under versions"),
        ("current: a\nversions: {a: {messages: []}}", "has no messages"),
        (one("{{ x }}"), "uses x, which is not under its variables"),
        (one("{{ 1 ** 2 }}"), "pow may not stand there"),
        (one("{% include 'a' %}"), "include may not stand there"),
        (one("{{ range(3) }}"), "uses range"),
        (one("{{ x.upper() }}", "{x: {type: string}}"), "call may not stand there"),
        (one("{{ x | pprint }}", "{x: {type: string}}"), "No filter named 'pprint'"),
        (one("{% for"), "template greeting@a"),
        (one("a", "{x: {type: strin}}"), "a variable's schema is none"),
        (one("a", "{x: {type: string, default: 3}}"), "the default of x does not keep to its schema"),
        (one("a", "{x: {$ref: 'http://x/y'}}"), "may not refer to another"),
        ("current: a\nversions: {a: {messages: [{role: tool, content: a, more: 1}]}}", "unknown field"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        load(write(tmp_path / "prompts", text))
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("{{ x.__class__.__mro__ }}", "a"),
        ("{{ x['__class__'] }}", "a"),
        ("{{ x * 1000000 }}", "aaaa"),
        ("{{ x % 3 }}", "%1000000000d"),
        ("{{ x[9] }}", "a"),
        ("{{ x + 1 }}", "a"),
    ],
)
def test_a_hostile_value_does_no_harm(tmp_path: Path, content: str, value: str) -> None:
    folder = write(tmp_path / "prompts", one(content.replace('"', "'"), "{x: {}}"))
    with pytest.raises(Failure) as caught:
        render(folder, asked(x=value))
    assert caught.value.code is Code.INVALID


def test_what_is_rendered_is_bounded(tmp_path: Path) -> None:
    loops = "{% for a in x %}{% for b in x %}{{ x | join }}{% endfor %}{% endfor %}"
    folder = write(tmp_path / "prompts", one(loops, "{x: {type: array}}"))
    with pytest.raises(Failure) as caught:
        render(folder, asked(x=["abc"] * 1000))
    assert caught.value.code is Code.TOO_LARGE
    deep = "{% for a in x %}{% for b in x %}{% for c in x %}.{% endfor %}{% endfor %}{% endfor %}"
    with pytest.raises(BadTemplate, match="loops may be 2 deep"):
        load(write(tmp_path / "prompts", one(deep, "{x: {type: array}}")))


def test_no_folder_is_no_templates(tmp_path: Path) -> None:
    assert load(tmp_path / "none").by_name == {}
    with pytest.raises(BadTemplate, match="must be named by letters"):
        load(write(tmp_path / "prompts", GREETING, name="a b"))
