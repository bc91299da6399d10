"""Documents as a run uses them: a search or an ingest as a step, and search as a tool that a model may ask for."""

import msgspec

from penstock.contracts.context import Found, Ingest, Ingested, Search
from penstock.contracts.errors import Code, Failure
from penstock.contracts.subjects import CONTEXT_INGEST, CONTEXT_SEARCH
from services.orchestrator.agents import Agent
from services.orchestrator.asks import IngestAsk
from services.orchestrator.jobs.context import JobContext
from services.orchestrator.steps import Done, Try

SEARCH_TOOL = "search_documents"
LIMIT_MAX = 20


class SearchArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model writes when it asks for the search."""

    query: str
    limit: int = 5
    collection: str = ""


class _Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    source: str
    title: str
    text: str


async def search(context: JobContext, step: str, query: str, limit: int, collection: str) -> Found:
    """The best passages of a collection."""

    async def ask(this: Try) -> Done[Found]:
        found = await context.bus.call(CONTEXT_SEARCH, Search(query, limit, collection), this.meta)
        return Done(found, taint=found.taint)

    arguments = [query, limit, collection]
    return await context.steps.step(step, SEARCH_TOOL, ask, Found, arguments=arguments)


async def ingest(context: JobContext, step: str, asked: IngestAsk, collection: str) -> Ingested:
    """Keeps a document; the same source again replaces it."""
    document = Ingest(asked.source, asked.text, asked.title, asked.media_type, collection)

    async def ask(this: Try) -> Done[Ingested]:
        return Done(await context.bus.call(CONTEXT_INGEST, document, this.meta))

    return await context.steps.step(step, "ingest", ask, Ingested, arguments=document, effect="idempotent")


def search_description(agent: Agent) -> dict[str, object]:
    """The search as a tool in an OpenAI chat request."""
    return {
        "type": "function",
        "function": {
            "name": SEARCH_TOOL,
            "description": "Searches the documents and returns the passages that fit best, with their sources.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "What to look for, in words."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
                    "collection": {"type": "string", "enum": list(agent.collections)},
                },
                "required": ["query"],
            },
        },
    }


def search_arguments(text: msgspec.Raw, agent: Agent) -> SearchArguments:
    """What the model asks for. Raises Failure INVALID, and DENIED for a collection that the agent does not have."""
    try:
        asked = msgspec.json.decode(text, type=SearchArguments)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Failure(Code.INVALID, f"the arguments do not fit: {error}") from error
    collection = asked.collection or agent.collections[0]
    if collection not in agent.collections:
        raise Failure(Code.DENIED, f"this agent has no collection `{collection[:64]}`")
    return SearchArguments(asked.query, min(max(asked.limit, 1), LIMIT_MAX), collection)


def shown(found: Found) -> str:
    """Passages as a model reads them: a JSON list."""
    return msgspec.json.encode([_Shown(p.source, p.title, p.text) for p in found.passages]).decode()
