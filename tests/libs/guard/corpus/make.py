"""Makes the corpus: python -m tests.libs.guard.corpus.make > tests/libs/guard/corpus/corpus.jsonl

The same each time. A line is a text and the spans that stand in it, each with its entity; a text without spans looks
like something and is nothing. `hard` are forms that nothing tells from other text, or that are written to be missed.
"""

import json
import random
import sys
from collections.abc import Iterator

from penstock.guard import checksum
from tests.libs.guard.corpus.values import ALNUM, HARD, HEX, NAMED, VALUES, digits, some

SEED = 20261124
PER_ENTITY = 60
Line = dict[str, object]

ANYWHERE = (
    "{}",
    "Please use {} for this.",
    "It was {}, I think.",
    '{{"note": "see {}"}}',
    "| row | {} | 7 |",
    "a,b,{},d",
    "first line\n{}\nlast line",
    "({})",
    "Grüße — siehe {}; danke!",
    "请用 {} 。",
    "value={}",
    "<td>{}</td>",
)
WORDS = {
    "PHONE": ("call me at {}", "phone: {}", "Tel. {}", '{{"mobile": "{}"}}'),
    "SSN": ("ssn: {}", "My social security number is {}.", "SSN {}"),
    "NHS": ("NHS number {}", "nhs no: {}"),
    "ABA": ("routing number {}", "ABA: {}", "Routing (RTN) {}."),
    "PASSPORT": ("passport number {}", "Passport no. {}", "passport: {}", "Passport No: {} (expired)"),
    "SIN": ("SIN {}", "social insurance number: {}"),
    "BIRTH_DATE": ("born on {}", "DOB: {}", "date of birth {}", "birthdate: {}"),
    "PASSWORD": (
        "password: {}", 'password = "{}"', "the password is {}", "DB_PASSWORD={}", '{{"client_secret": "{}"}}',
        "pwd={}", "postgres://app:{}@db.example.com/orders", "redis://:{}@cache:6379/0", "'passphrase' => '{}'",
    ),
    "HIDDEN_TEXT": ("The total{} is 12.", "Dear reader,{} hello", "see{}here"),
}  # fmt: skip
NEVER_ALONE = frozenset(WORDS) - {"PHONE", "SSN", "NHS"}


def lines() -> Iterator[Line]:
    """Every line, in order."""
    chance = random.Random(SEED)
    for entity, make in VALUES.items():
        forms = WORDS[entity] if entity in NEVER_ALONE else ANYWHERE
        for number in range(PER_ENTITY):
            yield placed(forms[number % len(forms)], make(chance), entity)
        for number in range(PER_ENTITY // 4 if entity in NAMED else 0):
            forms = WORDS[entity]
            yield placed(forms[number % len(forms)], NAMED[entity](chance), entity)
    for entity, hide in HARD.items():
        for _ in range(PER_ENTITY // 8):
            value = hide(chance)
            yield {"text": f"so {value} then", "spans": [[3, 3 + len(value), entity]], "hard": True}
    for text in (*WRITTEN, *made(chance)):
        yield {"text": text, "spans": []}


def placed(form: str, value: str, entity: str) -> Line:
    before, _, after = form.replace("{{", "{").replace("}}", "}").partition("{}")
    spans: list[list[int | str]] = [[len(before), len(before) + len(value), entity]]
    inside = value.find("\u200b")
    if inside > 0:
        spans.append([len(before) + inside, len(before) + inside + 1, "HIDDEN_TEXT"])
    return {"text": before + value + after, "spans": spans}


WRITTEN = (
    "The meeting is on 2024-05-17 at 12:30, room 4.2.1.",
    "Version 10.4.2.1 of the driver",
    "v1.2.3.4 was released",
    "npm i left-pad@1.3.0",
    "icon@2x.png and logo@3x.webp",
    "git clone git@github.com:acme/widgets.git",
    "std::vector<int> a = foo::bar();",
    "dead::beef is a name in C++",
    "12:34:56 to 13:45:00",
    "ratio 16:9:4",
    "127.0.0.1 and ::1 and 0.0.0.0",
    "999.1.1.1",
    "1.2.3",
    "3.14159265358979323846",
    "0.4111111111111111",
    "order 4111111111111112",
    "tracking 1Z999AA10123456784",
    "ISBN 978-3-16-148410-0",
    "total 1 234 567 890 units",
    "1,234,567,890.12",
    "population 1234567890",
    "pages 100-200-3000",
    "000-12-3456",
    "666-12-3456",
    "123-00-4567",
    "123-45-0000",
    "call 2024-05-17",
    "the 2024 phone",
    "@everyone",
    "user@localhost",
    "a @ b",
    "sha1 AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD",
    "ff:ff:ff:ff:ff:ff",
    "00:00:00:00:00:00",
    "DE89 3704 0044 0532 0130 01",
    "GB00WEST12345698765432",
    "AB12 the quick brown fox jumps over",
    "XX12 3456 7890 1234 5678",
    "BG 12 34 56 A",
    "AB 12 34 56 E",
    "the passport is lost",
    "passport control 12 gates",
    "born in 1980",
    "birthday party",
    "password: ",
    "password: ********",
    "password=<your password>",
    "password = os.environ['X']",
    "password: ${DB_PASSWORD}",
    "token: string",
    "secret: true",
    "the secret is patience",
    "password is required",
    "key: value",
    "api_key = None",
    "tokens: 123456",
    "max_tokens=4096000",
    "passwords must be long",
    "sk-learn is a library",
    "the task-force-of-the-year",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
    "AKIAXXXXXXXXXXXXXXXX",
    "http://example.com:8080/@user",
    "https://user@example/path",
    "Bearer token",
    "Basic understanding of physics",
    "basic authentication required",
    "eyJ is how they begin",
    "starts with -----BEGIN RSA PRIVATE KEY----- and so on",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBg\n-----END PUBLIC KEY-----",
    "\U0001f469\u200d\U0001f4bb writes",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u2764\ufe0f love",
    "\u0e2a\u0e27\u0e31\u200b\u0e2a\u0e14\u0e35",
    "\u0915\u094d\u200d\u0937",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f flag",
    "1\ufe0f\u20e3 first",
    "\u05e9\u05dc\u05d5\u05dd\u200f, 5",
    "na\u0308ive cafe\u0301",
    "tab\tand\nnewline",
    "a -> b <- c",
    "Zusammen\u00adarbeit",
    "123e4567-e89b-12d3-a456-426614174000",
    "1 2 3 4 5 6 7 8 9 10 11 12 13",
    "10 20 30 40 50 60 70",
    "2024 2025 2026 2027",
    "0x1234",
    "0x0000000000000000000000000000000000000000",
    "1BoatSLRHtKNngkdXEeobR76b53LETtpyX",
    "bc1qqqqqqqq",
    "111.111.111-11",
    "000.000.000-00",
    "12345678A",
    "X-1234567-A",
    "RSSMRA85T10A562T",
    "850571234567890",
    "1234 5678 9012",
    "SIN of pride",
    "sin 046454287",
    "routing number 123456789",
    "NHS number 4505577105",
    "400 000 0001",
    "36 inches by 14",
)


def made(chance: random.Random) -> Iterator[str]:
    """Rows of digits and letters as programs write them."""
    for _ in range(40):
        yield f"id {digits(chance, 20)} done"
        yield f"commit {some(chance, HEX, 40)}"
        yield f"order no {digits(chance, 8)}-{digits(chance, 4)}"
        yield f"at 1{digits(chance, 9)}.{digits(chance, 3)} s"
        yield " ".join(f"{chance.randint(1, 99)}.{digits(chance, 2)}" for _ in range(3))
        yield "request " + "-".join(some(chance, HEX, size) for size in (8, 4, 4, 4, 12))
        yield f"img data:image/png;base64,{some(chance, ALNUM + '+/', 120)}="
        card = "4" + digits(chance, 15)
        yield f"ref {card if not checksum.luhn(card) else card[:-1] + 'x'}"


def main() -> None:
    for line in lines():
        sys.stdout.write(json.dumps(line, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
