"""The map: every subject with its types, who answers and who may ask. Nobody else formats a subject.

Change the wire here, with its types; docs/reference/wire.md and the broker's permissions are made from this table.
"""

from penstock.contracts import context, governance, jobs, llm, runs, tools
from penstock.contracts.api import api
from penstock.contracts.endpoint import TENANT_CLIENT, Bucket, Call, Consumer, Event, Journal, Stream, Subject, Work
from penstock.contracts.governance import APPROVAL_SINK, AUDIT_SINK, SETTLE_SINK
from penstock.contracts.services import CONTEXT, GATEWAY, ORCHESTRATOR, ROUTER, TOOLS
from penstock.contracts.stores import DAY_S, EVENTS, JOBS, KEPT, RUNS, TOKENS

# For users: the public contract ------------------------------------------------------------------------------------

# A stream answers whoever publishes to its subjects, at any reply subject that they name and with the broker's rights:
# no subject of a tenant's client may be a stream's. What is published here is stored by the orchestrator, as JOB.
JOB_PUBLISH = Call(
    Subject("penstock.v1.{tenant}.jobs.{kind}"),
    jobs.Job,
    jobs.Queued,
    ORCHESTRATOR,
    (TENANT_CLIENT,),
    repeatable=True,
)
JOB_SUBMIT = api("submit", jobs.Job, jobs.Submitted, ORCHESTRATOR)
JOB_GET = api("get", jobs.JobRef, jobs.JobView, ORCHESTRATOR)
JOB_LIST = api("list", jobs.JobListRequest, jobs.JobPage, ORCHESTRATOR)
JOB_CANCEL = api("cancel", jobs.JobRef, jobs.JobView, ORCHESTRATOR)
JOB_EVENTS = api("events", jobs.JobEventsRequest, jobs.JobEvents, ORCHESTRATOR)
JOB_TOKENS = api("tokens", jobs.JobTokensRequest, jobs.JobTokens, ORCHESTRATOR)
JOB_EVENT = Event(
    Subject("penstock.v1.{tenant}.events.{job}"),
    jobs.JobEvent,
    EVENTS,
    emitted_by=(ORCHESTRATOR,),
    heard_by=(TENANT_CLIENT, GATEWAY),
)
JOB_TOKEN = Event(
    Subject("penstock.v1.{tenant}.tokens.{job}"),
    jobs.TokenFrame,
    TOKENS,
    emitted_by=(ORCHESTRATOR,),
    heard_by=(TENANT_CLIENT, GATEWAY),
)

# Models ------------------------------------------------------------------------------------------------------------

LLM_COMPLETE = Call(
    Subject("penstock.llm.complete"),
    llm.CompletionRequest,
    llm.Completion,
    ROUTER,
    (GATEWAY, ORCHESTRATOR),
    timeout_s=600.0,
)
LLM_STREAM = Stream(
    Subject("penstock.llm.stream"),
    llm.CompletionRequest,
    llm.CompletionEnd,
    ROUTER,
    (GATEWAY, ORCHESTRATOR),
)
LLM_RESUME = Stream(
    Subject("penstock.llm.resume"),
    llm.ResumeRequest,
    llm.CompletionEnd,
    ROUTER,
    (GATEWAY,),
)
LLM_KEPT = Event(
    Subject("penstock.kept.{tenant}.{stream}"),
    llm.KeptFrame,
    KEPT,
    emitted_by=(ROUTER,),
    heard_by=(ROUTER,),
)
LLM_EMBED = Call(
    Subject("penstock.llm.embed"),
    llm.EmbedRequest,
    llm.Embeddings,
    ROUTER,
    (GATEWAY, CONTEXT),
    timeout_s=120.0,
)
LLM_RERANK = Call(
    Subject("penstock.llm.rerank"),
    llm.RerankRequest,
    llm.Reranked,
    ROUTER,
    (GATEWAY, CONTEXT),
    timeout_s=120.0,
)
LLM_COUNT = Call(
    Subject("penstock.llm.count"),
    llm.CountRequest,
    llm.TokenCount,
    ROUTER,
    (GATEWAY,),
    timeout_s=60.0,
    repeatable=True,
)
LLM_RESPONSE_GET = Call(
    Subject("penstock.llm.response.get"), llm.ResponseRef, llm.StoredResponse, ROUTER, (GATEWAY,), repeatable=True
)
LLM_RESPONSE_DELETE = Call(
    Subject("penstock.llm.response.delete"), llm.ResponseRef, llm.ResponseDeleted, ROUTER, (GATEWAY,)
)
LLM_MODELS = Call(
    Subject("penstock.llm.models"),
    llm.ModelsRequest,
    llm.Models,
    ROUTER,
    (GATEWAY, ORCHESTRATOR, CONTEXT),
    repeatable=True,
)

# Tools -------------------------------------------------------------------------------------------------------------

TOOL_LIST = Call(
    Subject("penstock.tool.list.{pool}"),
    tools.ToolListRequest,
    tools.ToolList,
    TOOLS,
    (GATEWAY, ORCHESTRATOR),
    repeatable=True,
)
TOOL_CALL = Call(
    Subject("penstock.tool.call.{pool}"),
    tools.ToolCall,
    tools.ToolResult,
    TOOLS,
    (GATEWAY, ORCHESTRATOR),
    timeout_s=300.0,
    repeatable=True,
)
DEFAULT_POOL = "default"

# Context -----------------------------------------------------------------------------------------------------------

CONTEXT_INGEST = Call(
    Subject("penstock.context.ingest"),
    context.Ingest,
    context.Ingested,
    CONTEXT,
    (GATEWAY, ORCHESTRATOR),
    timeout_s=300.0,
    repeatable=True,
)
CONTEXT_SEARCH = Call(
    Subject("penstock.context.search"),
    context.Search,
    context.Found,
    CONTEXT,
    (GATEWAY, ORCHESTRATOR),
    timeout_s=60.0,
    repeatable=True,
)
CONTEXT_APPEND = Call(
    Subject("penstock.context.append"),
    context.Append,
    context.Appended,
    CONTEXT,
    (GATEWAY, ORCHESTRATOR),
    repeatable=True,
)
CONTEXT_HISTORY = Call(
    Subject("penstock.context.history"),
    context.HistoryRequest,
    context.History,
    CONTEXT,
    (GATEWAY, ORCHESTRATOR),
    repeatable=True,
)
CONTEXT_FORGET = Call(
    Subject("penstock.context.forget"),
    context.Forget,
    context.Forgotten,
    CONTEXT,
    (GATEWAY, ORCHESTRATOR),
    repeatable=True,
)

# Jobs in the queue -------------------------------------------------------------------------------------------------

JOB = Work(
    Subject("penstock.job.{tenant}.{kind}"),
    jobs.Job,
    # all of the stream: jobs that an older version left there lie under another subject
    Consumer("admit", JOBS, "", used_by=ORCHESTRATOR, held_max=5000),
    assigned_by=(ORCHESTRATOR,),
    formerly=(JOB_PUBLISH.subject,),
)

# Runs --------------------------------------------------------------------------------------------------------------

RUN_JOURNAL: Journal[runs.AnyRunEvent] = Journal(
    Subject("penstock.run.{partition}.{run}.j"),
    runs.AnyRunEvent,  # type: ignore[arg-type]  # a union is not a type[...] to mypy
    RUNS,
    written_by=(ORCHESTRATOR,),
)
RUN_INPUT = Work(
    Subject("penstock.run.{partition}.{run}.in.{kind}.{id}"),
    runs.RunInput,
    Consumer("orchestrator", RUNS, "penstock.run.*.*.in.*.*", used_by=ORCHESTRATOR, held_max=20000),
    assigned_by=(ORCHESTRATOR,),
    # a long run may outlive many workers: its journal tells a run that makes no progress from one that does
    attempts_max=1_000_000,
)
RUN_DELIVER = Call(
    Subject("penstock.orchestrator.{worker}.deliver"),
    runs.RunInput,
    runs.InputTakenReply,
    ORCHESTRATOR,
    (ORCHESTRATOR,),
    timeout_s=5.0,
    repeatable=True,
)

# Buckets -----------------------------------------------------------------------------------------------------------

WORKERS: Bucket[str] = Bucket("workers", str, (ORCHESTRATOR,), (ORCHESTRATOR,), ttl_s=10)
RELEASES = Bucket("releases", int, (ORCHESTRATOR,), (ORCHESTRATOR,), ttl_s=7 * DAY_S)
"""How often a worker gave a task back without an attempt, by `<stream>.<consumer>.<sequence>`."""
JOB_INDEX = Bucket("jobs", jobs.JobView, (ORCHESTRATOR,), (ORCHESTRATOR,), ttl_s=30 * DAY_S)

# Signals -----------------------------------------------------------------------------------------------------------

CANCEL = Subject("penstock.cancel.{id}")
"""Fan-out: whoever works for this run (ids.run_id), or on this one request, stops. No body."""
FLOW = Subject("penstock.flow.{service}.{instance}.{stream}")
"""Credit and stop, from the reader of a stream to its producer. Body: `{"credit": N}` or `{"stop": true}`."""
INBOX = Subject("_INBOX.{principal}.{connection}")
"""The private inbox of one connection of a service."""
TENANT_INBOX = Subject("_INBOX.tenant.{tenant}.{connection}")
"""The private inbox of one connection of a tenant's client."""
DEAD_LETTER = Subject("penstock.dlq.{store}")
BLOB_CHUNK = Subject("penstock.blob.{id}.{n}")

# The table ---------------------------------------------------------------------------------------------------------

ENDPOINTS: dict[str, object] = {
    name: value
    for name, value in [*vars(governance).items(), *globals().items()]
    if isinstance(value, Call | Stream | Event | Work | Journal | Bucket)
}
"""Every endpoint by its name here, in order."""
CONSUMERS = (JOB.consumer, RUN_INPUT.consumer, APPROVAL_SINK, AUDIT_SINK, SETTLE_SINK)
