"""What screening looks for, by name, and groups that obligations may name instead (`redact:SECRET`, `redact:all`)."""

from collections.abc import Iterable, Mapping

PERSONAL = frozenset(
    {
        "EMAIL",
        "PHONE",
        "CARD",
        "IBAN",
        "SSN",
        "ITIN",
        "ABA",
        "NHS",
        "NINO",
        "PASSPORT",
        "IP",
        "MAC",
        "CRYPTO",
        "AADHAAR",
        "CPF",
        "DNI",
        "NIR",
        "CODICE_FISCALE",
        "SIN",
        "BIRTH_DATE",
    }
)
SECRETS = frozenset({"API_KEY", "TOKEN", "PRIVATE_KEY", "PASSWORD"})
HIDDEN_TEXT = "HIDDEN_TEXT"
INSTRUCTIONS = "INSTRUCTIONS"
ENTITIES = PERSONAL | SECRETS | {HIDDEN_TEXT, INSTRUCTIONS}

# `all` leaves INSTRUCTIONS alone: what marks them is advice, and cutting words out of a result may change its meaning.
GROUPS: Mapping[str, frozenset[str]] = {
    "all": PERSONAL | SECRETS | {HIDDEN_TEXT},
    "PERSONAL": PERSONAL,
    "SECRET": SECRETS,
}


class UnknownEntity(ValueError):
    """A name that screening does not know; the sentence lists those it does."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown entity {name[:40]!r}: write one of {', '.join(sorted(known))}")
        self.name = name


def chosen(names: Iterable[str], plugged_in: Iterable[str] = ()) -> frozenset[str]:
    """The entities that these names and groups stand for; `plugged_in` are those of other detectors.

    Raises UnknownEntity.
    """
    more = frozenset(plugged_in)
    found: set[str] = set()
    for name in names:
        if name in GROUPS:
            found |= GROUPS[name] | (more if name == "all" else frozenset())
        elif name in ENTITIES or name in more:
            found.add(name)
        else:
            raise UnknownEntity(name, (*GROUPS, *ENTITIES, *more))
    return frozenset(found)
