"""Texts with places in them, such as `/orders/{id}`. Pure. `{{` and `}}` stand for the braces themselves."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PIECE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|\{|\}")


class BadTemplate(ValueError):
    """A brace that is neither a place nor doubled."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} has a brace that is no place; write {{name}} for a place, {{{{ or }}}} for a brace")


@dataclass(frozen=True, slots=True)
class Template:
    """Texts and places in turn: `texts` has one more than `places`, the names of what stands between them."""

    texts: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def parse(cls, source: str) -> "Template":
        """Raises BadTemplate."""
        texts = [""]
        places: list[str] = []
        end = 0
        for piece in _PIECE.finditer(source):
            texts[-1] += source[end : piece.start()]
            end = piece.end()
            if piece[1] is not None:
                places.append(piece[1])
                texts.append("")
            elif piece[0] in ("{{", "}}"):
                texts[-1] += piece[0][0]
            else:
                raise BadTemplate(source)
        texts[-1] += source[end:]
        return cls(tuple(texts), tuple(places))

    @property
    def only(self) -> str:
        """The name of the place when the template is nothing but that place, or empty."""
        return self.places[0] if len(self.places) == 1 and self.texts == ("", "") else ""

    def fill(self, values: Mapping[str, str]) -> str:
        """Raises KeyError for a place without a value."""
        filled = [self.texts[0]]
        for name, text in zip(self.places, self.texts[1:], strict=True):
            filled += [values[name], text]
        return "".join(filled)
