"""The orchestrator's surroundings on a real broker: policy, a model that follows a script, tools and documents.

They outlive every orchestrator, and count what reaches them.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from penstock.bus import Bus, BusConfig, Sender
from penstock.contracts import context, llm, policy, tools
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import POLICY_DELEGATE, POLICY_EVALUATE
from penstock.contracts.jobs import FINAL, Job, JobEvent, JobRef, JobView, Submitted
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import (
    CONTEXT_APPEND,
    CONTEXT_HISTORY,
    CONTEXT_INGEST,
    CONTEXT_SEARCH,
    DEFAULT_POOL,
    JOB_EVENT,
    JOB_GET,
    JOB_SUBMIT,
    LLM_MODELS,
    LLM_STREAM,
    TOOL_CALL,
    TOOL_LIST,
)
from tests.support.eventually import eventually
from tests.support.tokens import TestSigner

Asked = list[tuple[str, str]]
"""Tool calls that the model asks for: name and arguments."""


class _Message(msgspec.Struct):
    role: str
    content: str | None = None


class _Body(msgspec.Struct):
    messages: list[_Message]


class Peers:
    """`script` is what the model says in each turn: a text, or tools to call. `denied` names actions and tools."""

    def __init__(self, bus: Bus, signer: TestSigner) -> None:
        self.bus = bus
        self.signer = signer
        self.script: list[str | Asked | Failure] = ["done"]
        self.specs: dict[str, tools.Effect] = {"lookup": "read", "write": "idempotent", "pay": "once"}
        self.denied: dict[str, Failure] = {}
        self.bodies: list[str] = []
        self.model_calls: Counter[int] = Counter()
        self.effects: Counter[str] = Counter()
        self.tool_calls: list[tuple[str, Meta]] = []
        self.questions: list[policy.Question] = []
        self.delegated: list[policy.Delegate] = []
        self.sessions: dict[str, list[context.Turn]] = {}
        self.documents: dict[str, context.Ingest] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.reached: dict[str, asyncio.Event] = {}
        self.stopped: list[str] = []
        self._ledger: dict[str, tools.ToolResult] = {}

    async def serve(self) -> None:
        serve = self.bus.serve_call
        await serve(POLICY_EVALUATE, self._evaluate, in_flight_max=512)
        await serve(POLICY_DELEGATE, self._delegate, in_flight_max=512)
        await self.bus.serve_stream(LLM_STREAM, self._complete, in_flight_max=512)
        await serve(LLM_MODELS, self._models, in_flight_max=512)
        await serve(TOOL_LIST, self._list, in_flight_max=512, pool=DEFAULT_POOL)
        await serve(TOOL_CALL, self._call, in_flight_max=512, pool=DEFAULT_POOL)
        await serve(CONTEXT_SEARCH, self._search, in_flight_max=512)
        await serve(CONTEXT_INGEST, self._ingest, in_flight_max=512)
        await serve(CONTEXT_HISTORY, self._history, in_flight_max=512)
        await serve(CONTEXT_APPEND, self._append, in_flight_max=512)
        await self.bus.connection.round_trip(2.0)

    # Holding things up ------------------------------------------------------------------------------------------

    def hold(self, name: str) -> asyncio.Event:
        """Calls of this name (a tool, or `model-<turn>`) wait until `gates[name]` is set; the event is the first."""
        self.gates[name] = asyncio.Event()
        self.reached[name] = asyncio.Event()
        return self.reached[name]

    async def _pass(self, name: str) -> None:
        if name in self.gates:
            self.reached[name].set()
            try:
                await self.gates[name].wait()
            except asyncio.CancelledError:
                self.stopped.append(name)
                raise

    # Policy -----------------------------------------------------------------------------------------------------

    async def _evaluate(self, question: policy.Question, meta: Meta) -> policy.Decision:
        self.questions.append(question)
        why = self.denied.get(question.action.name)
        if why is not None and why.code in (Code.UNAVAILABLE, Code.UNAUTHENTICATED):
            raise why
        about = policy.DecisionContext(
            f"dec_{len(self.questions)}",
            "deny" if why else "allow",
            code=why.code if why else "",
            reasons=(policy.Reason("p1", why.detail),) if why else (),
            tenant=meta.tenant,
        )
        return policy.Decision(why is None, about)

    async def _delegate(self, asked: policy.Delegate, meta: Meta) -> policy.Identity:
        self.delegated.append(asked)
        expires = time.time() + asked.lifetime_s + 60
        token = self.signer.token(tenant=meta.tenant, run=asked.run, exp=expires)
        return policy.Identity(meta.tenant, "user:alice", token, expires)

    # Model ------------------------------------------------------------------------------------------------------

    async def _models(self, request: llm.ModelsRequest, meta: Meta) -> llm.Models:
        return llm.Models([llm.ModelInfo("small")], default_chat="small")

    async def _complete(self, request: llm.CompletionRequest, meta: Meta, out: Sender) -> llm.CompletionEnd:
        body = msgspec.json.decode(request.body, type=_Body)
        self.bodies.append(bytes(request.body).decode())
        # by what has been said, so that a repeated request gets the same answer
        said = [message.role for message in body.messages].count("assistant")
        turn = said - sum(len(turns) // 2 for turns in self.sessions.values())
        self.model_calls[turn] += 1
        says = self.script[turn]
        if isinstance(says, str):
            for word in says.split(" "):
                await out.send(_chunk({"content": word + " "}))
                await self._pass(f"model-{turn + 1}")
        elif isinstance(says, Failure):
            raise says
        else:
            await self._pass(f"model-{turn + 1}")
            calls = [
                {"index": place, "id": f"c{turn}{place}", "function": {"name": name, "arguments": arguments}}
                for place, (name, arguments) in enumerate(says)
            ]
            await out.send(_chunk({"tool_calls": calls}))
        usage = llm.Usage(uncached=10, output=5)
        return llm.CompletionEnd(llm.Served(f"att_m{turn}", "dep", request.model, usage, 1000), "stop")

    # Tools ------------------------------------------------------------------------------------------------------

    async def _list(self, request: tools.ToolListRequest, meta: Meta) -> tools.ToolList:
        schema = msgspec.Raw(b'{"type":"object"}')
        return tools.ToolList(
            [tools.ToolSpec(n, f"the tool {n}", schema, e) for n, e in self.specs.items() if n in request.names]
        )

    async def _call(self, call: tools.ToolCall, meta: Meta) -> tools.ToolResult:
        self.tool_calls.append((call.tool, meta))
        if call.tool in self.denied:
            raise self.denied[call.tool]
        if call.tool not in self.specs:
            raise Failure(Code.NOT_FOUND, "there is no such tool", param="tool")
        known = self._ledger.get(meta.idempotency_key)
        if known is not None:
            return known
        self.effects[meta.idempotency_key] += 1
        result = tools.ToolResult(f"{call.tool} gave {bytes(call.arguments).decode()}", decision="dec_t")
        self._ledger[meta.idempotency_key] = result
        await self._pass(call.tool)
        return result

    # Documents and sessions -------------------------------------------------------------------------------------

    async def _search(self, request: context.Search, meta: Meta) -> context.Found:
        self.tool_calls.append(("search", meta))
        passage = context.Passage("d1", "guide.md", "Guide", f"about {request.query} in {request.collection}", 1.0)
        return context.Found([passage] * min(request.limit, 1))

    async def _ingest(self, request: context.Ingest, meta: Meta) -> context.Ingested:
        self.documents[request.source] = request
        return context.Ingested("d1", 1)

    async def _history(self, request: context.HistoryRequest, meta: Meta) -> context.History:
        return context.History(self.sessions.get(request.session, [])[-request.limit :])

    async def _append(self, request: context.Append, meta: Meta) -> context.Appended:
        turns = self.sessions.setdefault(request.session, [])
        known = {turn.id for turn in turns}
        turns += [turn for turn in request.turns if turn.id not in known]
        return context.Appended(len(turns))

    # The user's side --------------------------------------------------------------------------------------------

    def meta(self, tenant: str = "acme", **fields: object) -> Meta:
        """As a tenant's client sends it."""
        token = self.signer.token(tenant=tenant)
        return msgspec.convert({"tenant": tenant, "token": token, "request": "req_1", **fields}, Meta)

    async def submit(self, job: Job, tenant: str = "acme", **meta: object) -> Submitted:
        return await self.bus.call(JOB_SUBMIT, job, self.meta(tenant, **meta), timeout_s=10, tenant=tenant)

    async def view(self, job: str, tenant: str = "acme") -> JobView:
        return await self.bus.call(JOB_GET, JobRef(job), self.meta(tenant), timeout_s=10, tenant=tenant)

    async def events(self, job: str, tenant: str = "acme") -> list[JobEvent]:
        return [stored.body for stored in await self.bus.read(JOB_EVENT, tenant=tenant, job=job)]

    async def ended(self, job: str, within_s: float = 10.0, tenant: str = "acme") -> JobView:
        """The job once it has ended and its last event is told."""

        async def check() -> JobView:
            events = await self.events(job, tenant)
            assert events and events[-1].type in FINAL | {"refused", "blocked"}, [event.type for event in events]
            return await self.view(job, tenant)

        return await eventually(check, within_s, every_s=0.03)


def _chunk(delta: dict[str, object]) -> bytes:
    return b"data: " + msgspec.json.encode({"model": "m-1", "choices": [{"index": 0, "delta": delta}]}) + b"\n\n"


@asynccontextmanager
async def bus_at(url: str, *, seed_file: str = "") -> AsyncIterator[Bus]:
    """The peers' own connection."""
    bus = await Bus.connect(BusConfig(url=url, principal="peers", seed_file=seed_file))
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def run_peers(url: str, *, seed_file: str = "", signer: TestSigner | None = None) -> AsyncIterator[Peers]:
    """Streams made, all peers answering."""
    async with bus_at(url, seed_file=seed_file) as bus:
        await bus.prepare()
        peers = Peers(bus, signer or TestSigner())
        await peers.signer.publish(bus)
        await peers.serve()
        yield peers
