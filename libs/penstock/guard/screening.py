"""Screening: what is in a text that policies care about. Linear in the text's length, whatever is in it."""

from penstock.guard.digits import DIGIT_RULE
from penstock.guard.document import DOCUMENT_RULES
from penstock.guard.finding import Facts, Finding, Findings, resolved
from penstock.guard.hidden import hidden
from penstock.guard.iban import IBAN_RULE
from penstock.guard.instructions import INSTRUCTION_RULE
from penstock.guard.network import NETWORK_RULES
from penstock.guard.phone import SPOKEN_RULE
from penstock.guard.rule import Gate
from penstock.guard.secret import SECRET_RULES
from penstock.guard.view import View

_GATE = Gate((*SECRET_RULES, *NETWORK_RULES, IBAN_RULE, *DOCUMENT_RULES, DIGIT_RULE, SPOKEN_RULE, INSTRUCTION_RULE))


def screen(text: str) -> Findings:
    """Everything that is found, with places in `text` itself, whatever look-alikes and unseen characters it has."""
    return resolved(candidates(View(text)))


def candidates(view: View) -> tuple[Finding, ...]:
    """The same before it is settled which of two overlapping findings stands."""
    return (*_GATE.findings(view), *hidden(view.text))


def facts(text: str) -> Facts:
    """What a policy may ask about this text."""
    return screen(text).facts
