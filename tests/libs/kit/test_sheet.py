"""Rows as CSV."""

import msgspec

from penstock.kit.sheet import sheet


class Row(msgspec.Struct):
    name: str
    nano: int


def test_rows_are_csv_with_the_fields_names_on_top() -> None:
    assert sheet(Row, [Row('a "b", c', 5), Row("line\nbreak", -1)]) == (
        'name,nano\r\n"a ""b"", c",5\r\n"line\nbreak",-1\r\n'
    )
    assert sheet(Row, []) == "name,nano\r\n"


def test_what_a_spreadsheet_would_take_for_a_formula_is_text() -> None:
    assert sheet(Row, [Row("=1+1", 1), Row("@x", 2), Row("-3", 3)]) == "name,nano\r\n'=1+1,1\r\n'@x,2\r\n'-3,3\r\n"
