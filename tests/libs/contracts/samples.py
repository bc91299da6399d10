"""One value of every message type, with every field set: what the golden files say, as Python says it."""

from typing import TypeAlias

import msgspec

from penstock.contracts import audit, context, jobs, keys, llm, policy, runs, tools
from penstock.contracts.errors import FailureBody, Upstream
from penstock.contracts.meta import Meta

Sample: TypeAlias = msgspec.Struct

RAW = msgspec.Raw(b'{"deep":[1,2.5,"\xc3\xa9",null,true]}')
USAGE = llm.Usage(100, 20, 3, 40, 5, True, cache_write_1h=2, audio_input=7, audio_output=6)
ERROR = FailureBody("denied", "not for you", 1.5, "dec_1", "tool", ("no scope", "no budget"))
UPSTREAM = Upstream("anthropic.messages", "invalid_request_error", "context_length_exceeded", RAW)
REFUSED = msgspec.structs.replace(ERROR, upstream=UPSTREAM, approval="apr_1")
LOSS = llm.Loss("messages.3.name", "names of speakers are not carried", True)
TEMPLATE = llm.Template("greeting", "3", {"name": RAW})
SERVED = llm.Served(
    "att_1",
    "first",
    "model-1",
    USAGE,
    123_456_789,
    "2026-11",
    "dec_1",
    2,
    31.25,
    (LOSS,),
    "cheapest",
    "exact",
    30.5,
    {"routing": 0.25},
)
BUDGET = jobs.Budget(0.5, 2000)
JOB = jobs.Job(
    kind="agent",
    input=RAW,
    id="job_1",
    agent="clerk",
    model="chat",
    tool="order",
    session="s1",
    collection="handbook",
    budget=BUDGET,
    deadline_s=60.0,
    idempotency_key="order 17",
    labels={"team": "north"},
)
VIEW = jobs.JobView(
    id="job_1",
    kind="agent",
    state="failed",
    created=1_790_000_000.5,
    updated=1_790_000_001.5,
    agent="clerk",
    steps=3,
    usage=USAGE,
    cost_nano=17,
    output=RAW,
    error=ERROR,
    labels={"team": "north"},
    epoch=4,
    subject="user:alice",
)
EVENT = jobs.JobEvent(
    job="job_1",
    n=2,
    type="step",
    time=1_790_000_000.5,
    step="tool-1-1",
    name="order",
    detail="three valves",
    output=RAW,
    error=ERROR,
    usage=USAGE,
    cost_nano=17,
    attempt="att_1",
    decision="dec_1",
    epoch=4,
    replayed=True,
)
FRAME = jobs.TokenFrame("job_1", "model-1", 7, "Hel", 1, True)
SPEC = tools.ToolSpec("order", "Orders an item.", RAW, "idempotent", "http", ("shop", "writes"))
PASSAGE = context.Passage("doc_1", "valves.md", "Valves", "Turn it to the left.", 0.75)
TURN = context.Turn("turn_1", RAW)
REASON = policy.Reason("own-tenant", "it belongs to another tenant")
ENTITY = policy.Entity(
    "Tool", "order", {"effect": "once", "size": 3, "rate": 0.5, "writes": True, "labels": ["a", "b"]}
)
QUESTION = policy.Question(
    policy.ActionName("tool.call"),
    ENTITY,
    "att_1",
    {"hosts": ["example.com"], "writes": False},
    policy.Reserve(5000, 700),
    "0f" * 32,
    60.0,
)
DECISION = policy.Decision(
    False,
    policy.DecisionContext(
        "dec_1", "hold", "approval_required", (REASON,), "bundle-1", ("log",), 2.5, 900, "acme", "user:alice"
    ),
)
RECORD = audit.Record(
    "dec_1", "policy", audit.DECISION, "2026-11-24T06:00:00.000Z", "acme", RAW, "att_1", "1.0", "application/json"
)

OPENING = llm.KeptOpening("user:alice", "chat", "openai.chat", SERVED)

ON_THE_WIRE: tuple[Sample, ...] = (
    Meta("req_1", "acme", "token", 1_790_000_000.5, "00-01-02-01", "order 17", "job_1", "tool-1-1", 4),
    REFUSED,
    UPSTREAM,
    # jobs
    BUDGET,
    JOB,
    jobs.Submitted("job_1", True),
    jobs.Queued("JOBS", 7, True),
    jobs.JobRef("job_1"),
    VIEW,
    jobs.JobListRequest(5, "job_9", "failed"),
    jobs.JobPage([VIEW], "job_1"),
    EVENT,
    FRAME,
    jobs.JobEventsRequest("job_1", 3, 10),
    jobs.JobEvents([EVENT]),
    jobs.JobTokensRequest("job_1", "model-1", 6, 10),
    jobs.JobTokens([FRAME]),
    jobs.TokenRequest("psk_example_0123"),
    jobs.TokenReply("token", "acme", 1_790_000_900.0),
    # models
    USAGE,
    SERVED,
    TEMPLATE,
    llm.CompletionRequest(
        "chat",
        RAW,
        "openai.chat.next",
        {"anthropic-version": "2026-10-21"},
        "s1",
        {"team": "north"},
        llm.REFUSE_LOSSES,
        llm.REFRESH,
        TEMPLATE,
        True,
        True,
    ),
    LOSS,
    llm.Completion(RAW, SERVED),
    llm.CompletionHead(SERVED, "str_1", "openai.chat"),
    llm.ResumeRequest("str_1", 7),
    OPENING,
    llm.KeptFrame(7, (b"data: x\n\n",), OPENING, llm.CompletionEnd(SERVED, "stop"), ERROR),
    llm.CompletionEnd(SERVED, "stop"),
    llm.CountRequest("chat", RAW, "openai.chat.next", {"anthropic-version": "2026-10-21"}),
    llm.TokenCount(12, True, SERVED),
    llm.RerankRequest("rank", "valve", ["one", "two"], 1),
    llm.Ranked(1, 0.5),
    llm.Reranked([llm.Ranked(1, 0.5)], SERVED),
    llm.ResponseRef("resp_1"),
    llm.StoredResponse(RAW),
    llm.ResponseDeleted("resp_1"),
    llm.EmbedRequest("embed", ["one", "two"], 256),
    llm.Embeddings([[0.5, -1.0], [0.0, 2.0]], SERVED),
    llm.ModelsRequest(),
    llm.ModelInfo("chat", ("chat", "embeddings"), "penstock", 8192, True),
    llm.Models([llm.ModelInfo("chat")], "chat", "embed"),
    # tools
    SPEC,
    tools.ToolListRequest(("order", "stock")),
    tools.ToolList([SPEC]),
    tools.ToolCall("call_1", "order", RAW),
    tools.ToolResult("done", True, True, True, "application/json", "dec_1"),
    # context
    context.Ingest("valves.md", "# Valves", "Valves", "text/plain", "handbook"),
    context.Ingested("doc_1", 3, True),
    context.Search("valve", 7, "handbook"),
    PASSAGE,
    context.Found([PASSAGE], True),
    TURN,
    context.Append("s1", [TURN]),
    context.Appended(12),
    context.HistoryRequest("s1", 7),
    context.History([TURN], 5),
    context.Forget("valves.md", "s1", "handbook"),
    context.Forgotten(2),
    # runs
    runs.Created(
        n=0,
        time=1.5,
        run="run_1",
        tenant="acme",
        subject="user:alice",
        job=JOB,
        token="token",
        revision="agent.1.clerk-0f",
        deadline=100.5,
        traceparent="00-01-02-01",
        input_blob="blob_1",
        digest="0f",
    ),
    runs.Claimed(n=1, time=2.5, worker="w1", revision="agent.1.clerk-0f"),
    runs.StepStarted(n=2, time=3.5, step="tool-1-1", key="run_1-tool-1-1", effect="once"),
    runs.StepDone(
        n=3,
        time=4.5,
        step="tool-1-1",
        name="order",
        arguments_hash="0f",
        result=RAW,
        blob="blob_1",
        error=ERROR,
        usage=USAGE,
        cost_nano=17,
        attempt="att_1",
        decision="dec_1",
    ),
    runs.StepFailed(n=4, time=5.5, step="model-2", name="chat", error=ERROR, tries=2, next_at=6.5),
    runs.Waiting(n=5, time=6.5, inputs=["approval.a1"], why="approval"),
    runs.InputTaken(n=6, time=7.5, kind="approval", id="a1", body=RAW),
    runs.Blocked(n=7, time=8.5, reason="poison", detail="five claims"),
    runs.Completed(n=8, time=9.5, output=RAW, usage=USAGE, cost_nano=17, output_blob="blob_1"),
    runs.Failed(n=9, time=10.5, error=ERROR, usage=USAGE, cost_nano=17),
    runs.Cancelled(n=10, time=11.5, by="user:alice", usage=USAGE, cost_nano=17),
    runs.RunInput("run_1", "cancel", "cancel", "user:alice", RAW),
    runs.InputTakenReply(True),
    # policy
    policy.Authenticate("psk_example_0123", "bearer"),
    policy.Identity("acme", "user:alice", "token", 1_790_000_900.0, "key1", ("model.*", "tool.call")),
    policy.Delegate("run_1", "agent:clerk", ("tool.call",), ("order",), 500_000, 2000, 60.0),
    ENTITY,
    policy.ActionName("tool.call"),
    policy.Reserve(5000, 700),
    QUESTION,
    REASON,
    DECISION.context,
    DECISION,
    policy.Questions([QUESTION]),
    policy.Decisions([DECISION]),
    policy.Key("k1", "AAAA", "policy"),
    policy.AccountQuery(),
    policy.Balance("tenant:acme", 5, 6, 7, 8),
    policy.Balances([policy.Balance("tenant:acme", 5, 6, 7, 8)]),
    policy.Settlement("att_1", USAGE, 17),
    # audit
    audit.Who("user:alice", ("agent:clerk",), "key1"),
    audit.DecisionRecord(
        decision="dec_1",
        attempt="att_1",
        effect="allow",
        who=audit.Who("user:alice", ("agent:clerk",), "key1"),
        action="tool.call",
        resource='Tool::"order"',
        bundle="bundle-1",
        code="denied",
        reasons=(REASON,),
        obligations=("log",),
        arguments_digest="0f",
        accounts=("tenant:acme", "run:run_1"),
        reserved_nano=5000,
        reserved_tokens=700,
        outcome_due=1_790_000_060.0,
        request="req_1",
        job="job_1",
        step="tool-1-1",
        traceparent="00-01-02-01",
    ),
    audit.OutcomeRecord(
        decision="dec_1",
        attempt="att_1",
        status="error",
        action="tool.call",
        resource='Tool::"order"',
        code="upstream",
        usage=USAGE,
        cost_nano=17,
        price_version="2026-11",
        result_digest="0f",
        latency_ms=12.5,
        deployment="first",
        request="req_1",
        job="job_1",
        step="tool-1-1",
        traceparent="00-01-02-01",
        surface="openai.chat",
        wire="anthropic.messages",
        losses=("seed",),
        reason="number 1 of the alias",
        cached="exact",
        saved_nano=5,
        template="greeting@3",
    ),
    RECORD,
    audit.Batch([RECORD]),
    audit.TrailRequest("job_1", "req_1", 7),
    audit.Entry(5, 6, "0f", RECORD),
    audit.Trail([audit.Entry(5, 6, "0f", RECORD)], ("dec_2",), True),
    audit.VerifyRequest(),
    audit.Verified(7, "0f", "example.com/audit", ("leaf 3 is missing",), ("dec_2",)),
    # keys
    keys.Revocation("acme", 1_790_000_000.5, "user:alice", "it was lost"),
    # keys
    keys.Revocation("acme", 1_790_000_000.5, "user:alice", "it was lost"),
)
