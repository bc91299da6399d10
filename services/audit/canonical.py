"""JSON Canonicalization Scheme (RFC 8785): one JSON value, one sequence of bytes."""

import msgspec

DEPTH_MAX = 100
INTEGER_MAX = 2**53 - 1


class NotCanonical(ValueError):
    """A JSON text that has no canonical form, and why."""


def canonical(text: bytes | msgspec.Raw) -> bytes:
    """The canonical bytes of a JSON text. A key that stands twice in an object counts as its last value."""
    try:
        value: object = msgspec.json.decode(text)
    except RecursionError:
        raise NotCanonical(f"it is nested deeper than {DEPTH_MAX}") from None
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise NotCanonical(f"it is not JSON: {error}") from None
    return msgspec.json.encode(_ordered(value, DEPTH_MAX))


def number(value: float) -> str:
    """As ECMAScript prints it (ECMA-262, Number::toString), which RFC 8785 asks for."""
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def _ordered(value: object, depth: int) -> object:
    """The same value, objects in the order of their keys and numbers as they are to be printed."""
    if depth < 0:
        raise NotCanonical(f"it is nested deeper than {DEPTH_MAX}")
    if isinstance(value, str):  # first, since most values are
        return value
    if isinstance(value, dict):
        return {key: _ordered(value[key], depth - 1) for key in _sorted(value)}
    if isinstance(value, list):
        return [_ordered(item, depth - 1) for item in value]
    if isinstance(value, float):
        return msgspec.Raw(number(value).encode())
    if isinstance(value, int) and not -INTEGER_MAX <= value <= INTEGER_MAX:
        return _as_double(value)
    return value


def _as_double(value: int) -> int:
    """A reader with IEEE 754 numbers must see the value that the writer meant (RFC 7493 section 2.2)."""
    try:
        if number(float(value)) == str(value):
            return value
    except OverflowError:
        pass
    raise NotCanonical("it holds an integer that a double cannot hold")


def _sorted(keys: dict[str, object]) -> list[str]:
    """By UTF-16 code units, which differs from Python's order beyond the basic plane."""
    if all(map(str.isascii, keys)):
        return sorted(keys)
    return sorted(keys, key=lambda key: key.encode("utf-16-be"))
