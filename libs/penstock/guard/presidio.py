"""Presidio's recognisers as a detector (extra `presidio`), without a model of language unless an engine brings one.

What the rules of this package find themselves is not asked for again, nor what Presidio would ask the network about.
"""

from collections.abc import Sequence

from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NoOpNlpEngine

from penstock.guard.finding import Finding

LANGUAGE = "en"
# Found by rules already; EMAIL_ADDRESS and URL fetch a list of domains when they are first used.
_LEFT_OUT = frozenset(
    {"EMAIL_ADDRESS", "URL", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS", "MAC_ADDRESS", "CRYPTO"}
    | {"US_SSN", "US_ITIN", "US_PASSPORT", "UK_NHS", "UK_NINO", "ABA_ROUTING_NUMBER"}
)


class Presidio:
    """Entities have Presidio's names (`US_DRIVER_LICENSE`; `PERSON` with an engine that knows names).

    `score_min`: what Presidio is less sure of is not reported; without words around, its patterns score 0.3 and more.
    """

    def __init__(self, engine: AnalyzerEngine | None = None, score_min: float = 0.3) -> None:
        self._engine = engine if engine is not None else _without_model()
        self._score_min = score_min
        self._entities = frozenset(self._engine.get_supported_entities(LANGUAGE)) - _LEFT_OUT

    @property
    def entities(self) -> frozenset[str]:
        return self._entities

    def find(self, text: str) -> Sequence[Finding]:
        results = self._engine.analyze(text, LANGUAGE, entities=sorted(self._entities), score_threshold=self._score_min)
        return [Finding(result.start, result.end, result.entity_type) for result in results]


def _without_model() -> AnalyzerEngine:
    engine = NoOpNlpEngine(models=[{"lang_code": LANGUAGE, "model_name": "no_op"}])
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=[LANGUAGE], nlp_engine=engine)
    return AnalyzerEngine(nlp_engine=engine, registry=registry, supported_languages=[LANGUAGE])
