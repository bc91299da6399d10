"""The tools file, and the sentences for what is wrong in it."""

import pytest

from services.tool_executor.toolsfile import BadToolsFile, parse

WEATHER = """
tools:
  - name: weather
    description: The weather in a city.
    kind: http
    parameters:
      type: object
      properties: {city: {type: string}}
      required: [city]
    labels: [public]
    timeout_s: 5
    http:
      url: https://api.example.com/v1/{city}
      credentials: [{name: Authorization, prefix: "Bearer ", source: "env:WEATHER_KEY"}]
"""


def test_entries_come_sorted_by_name_with_their_defaults() -> None:
    stock = "  - {name: stock, description: d, kind: sql, sql: {database: 'sqlite:s.db', statement: SELECT 1}}\n"
    stock_entry, weather = parse(WEATHER + stock)
    assert (stock_entry.name, stock_entry.effect, stock_entry.output_max_bytes) == ("stock", "read", 65536)
    assert weather.labels == ("public",)
    assert weather.http is not None and weather.http.credentials[0].source == "env:WEATHER_KEY"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("timeout_s: 5", "timeout_s: 0", "tool 'weather': timeout_s is 0.0; write a number above 0"),
        ("timeout_s: 5", "timeout: 5", "tool 'weather': Object contains unknown field `timeout`"),
        ("kind: http", "kind: shell", "tool 'weather': Invalid enum value 'shell'"),
        ("kind: http", "kind: sql", "kind sql needs the settings `sql:` and no others"),
        ("name: weather", "name: we ather", "a name has 1 to 64"),
        ("The weather in a city.", "''", "description is empty"),
        ("type: object", "type: string", "tool 'weather': parameters must be of type object"),
        ("labels: [public]", "effect: maybe", "Invalid enum value 'maybe'"),
        ("labels: [public]", "output_max_bytes: 99999999999", "output_max_bytes is 99999999999"),
        ("tools:", "tools: [", "not YAML"),
        ("tools:", "tool:", "Object contains unknown field `tool`|missing required field `tools`"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence_that_names_tool_and_field(old: str, new: str, says: str) -> None:
    with pytest.raises(BadToolsFile, match=says):
        parse(WEATHER.replace(old, new))


def test_a_name_is_there_once() -> None:
    with pytest.raises(BadToolsFile, match="tool 'weather' is there twice"):
        parse(WEATHER + WEATHER.replace("tools:\n", ""))


@pytest.mark.parametrize("text", ["", "[]", "tools: 5", "- a", "tools: [5]", "!!python/object:os.system x"])
def test_what_is_no_tools_file_is_refused(text: str) -> None:
    with pytest.raises(BadToolsFile):
        parse(text)
