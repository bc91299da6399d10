"""The kinds of job that are one action: a tool, a retrieval, an ingest."""

import msgspec

from penstock.contracts.context import Found, Ingested
from services.orchestrator import asks
from services.orchestrator.jobs.context import JobContext
from services.orchestrator.jobs.documents import ingest, search
from services.orchestrator.jobs.toolcall import call_tool, offered

DEFAULT_COLLECTION = "default"


class ToolOutput(msgspec.Struct, frozen=True, omit_defaults=True):
    """The output of a tool job: what the tool gave, an error of the tool's own too."""

    content: str
    is_error: bool = False
    truncated: bool = False
    media_type: str = "text/plain"


async def tool_job(context: JobContext) -> ToolOutput:
    """One tool call with the job's input as its arguments."""
    name = context.job.tool
    specs = await offered(context, (name,))
    result = await call_tool(context, "tool-1", name, asks.tool_arguments(context.job), specs.get(name))
    return ToolOutput(result.content, result.is_error, result.truncated, result.media_type)


async def retrieve_job(context: JobContext) -> Found:
    """The passages that fit the query."""
    asked = asks.retrieve(context.job)
    return await search(context, "search", asked.query, asked.limit, context.job.collection or DEFAULT_COLLECTION)


async def ingest_job(context: JobContext) -> Ingested:
    """A document kept."""
    return await ingest(context, "ingest", asks.ingest(context.job), context.job.collection or DEFAULT_COLLECTION)
