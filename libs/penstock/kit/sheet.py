"""Rows for a spreadsheet: CSV as in RFC 4180. Pure."""

import csv
import io
from collections.abc import Sequence

import msgspec

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def sheet(kind: type[msgspec.Struct], rows: Sequence[msgspec.Struct]) -> str:
    """One line of the names of `kind`'s fields, and one for each row. A text that a spreadsheet would take for a
    formula gets a quote in front."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(kind.__struct_fields__)
    for row in rows:
        writer.writerow([_cell(value) for value in msgspec.structs.astuple(row)])
    return out.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
