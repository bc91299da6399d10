"""Check digits and check sums: each takes plain digits (or letters) without separators and says whether they hold."""

import hashlib

_BASE58 = {char: value for value, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_BECH32 = {char: value for value, char in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_BECH32_SUMS = frozenset({1, 0x2BC830A3})  # bech32 (BIP 173), bech32m (BIP 350)
_DOUBLED = str.maketrans("0123456789", "0246813579")


def luhn(digits: str) -> bool:
    """Cards, Canadian SIN: ISO/IEC 7812-1, annex B."""
    turned = digits[::-1]
    return (sum(map(int, turned[::2])) + sum(map(int, turned[1::2].translate(_DOUBLED)))) % 10 == 0


def mod97(account: str) -> bool:
    """IBAN, upper case without spaces: ISO 7064 MOD 97-10."""
    turned = account[4:] + account[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def nhs(digits: str) -> bool:
    """NHS numbers, ten digits: modulus 11 with weights 10 to 2."""
    return (_weighted(digits[:9], range(10, 1, -1)) + int(digits[9])) % 11 == 0


def aba(digits: str) -> bool:
    """Routing numbers of US banks, nine digits: weights 3, 7, 1."""
    return _weighted(digits, (3, 7, 1) * 3) % 10 == 0


def cpf(digits: str) -> bool:
    """Brazil's CPF, eleven digits: two check digits modulus 11."""
    if len(set(digits)) == 1:
        return False
    for length in (9, 10):
        rest = _weighted(digits[:length], range(length + 1, 1, -1)) * 10 % 11 % 10
        if rest != int(digits[length]):
            return False
    return True


def nir(digits: str) -> bool:
    """France's NIR, thirteen digits and a key of two: 97 minus the number modulo 97."""
    return 97 - int(digits[:13]) % 97 == int(digits[13:])


def dni(number: str) -> bool:
    """Spain's DNI and NIE, upper case without separators: the letter is the number modulo 23."""
    digits = number[:-1].translate({ord("X"): "0", ord("Y"): "1", ord("Z"): "2"})
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == number[-1]


_DIHEDRAL = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_TURNS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def verhoeff(digits: str) -> bool:
    """India's Aadhaar: J. Verhoeff, Error Detecting Decimal Codes, 1969."""
    state = 0
    for place, digit in enumerate(reversed(digits)):
        state = _DIHEDRAL[state][_TURNS[place % 8][int(digit)]]
    return state == 0


_ODD_VALUES = "1 0 5 7 9 13 15 17 19 21 1 0 5 7 9 13 15 17 19 21 2 4 18 20 11 3 6 8 12 14 16 10 22 25 24 23"
_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", map(int, _ODD_VALUES.split()), strict=True))


def codice_fiscale(code: str) -> bool:
    """Italy's codice fiscale, sixteen characters in upper case: the last one checks the others."""
    total = sum(
        _ODD[char] if place % 2 == 0 else (int(char) if char.isdigit() else ord(char) - ord("A"))
        for place, char in enumerate(code[:15])
    )
    return chr(ord("A") + total % 26) == code[15]


def mrz(field: str, digit: str) -> bool:
    """A field of a machine-readable travel document: ICAO 9303 part 3, weights 7, 3, 1."""
    total = sum((0 if char == "<" else int(char, 36)) * (7, 3, 1)[place % 3] for place, char in enumerate(field))
    return digit == ("0" if digit == "<" else str(total % 10)) or (digit == "<" and total % 10 == 0)


def base58check(address: str) -> bool:
    """Bitcoin's older addresses: 21 bytes and the first four of their double SHA-256."""
    number = 0
    for char in address:
        number = number * 58 + _BASE58[char]
    if number >= 1 << 200:
        return False
    raw = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def bech32(address: str) -> bool:
    """Bitcoin's SegWit addresses, in lower case: BIP 173 and BIP 350."""
    prefix, _, data = address.rpartition("1")
    values = [*(ord(char) >> 5 for char in prefix), 0, *(ord(char) & 31 for char in prefix)]
    values += [_BECH32.get(char, 32) for char in data]
    state = 1
    for value in values:
        if value > 31:
            return False
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            state ^= generator if top >> place & 1 else 0
    return state in _BECH32_SUMS


def _weighted(digits: str, weights: "range | tuple[int, ...]") -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))
