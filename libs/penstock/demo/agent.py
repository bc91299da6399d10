"""(b) An agent answers from the project's documents, an SQL database and an HTTP service."""

from contextlib import aclosing

import msgspec

from penstock.cli.watching import event_line
from penstock.client import job
from penstock.contracts.context import Found
from penstock.contracts.jobs import JobEvent, JobView
from penstock.demo.chat import answer_of
from penstock.demo.documents import Document, own_documents
from penstock.demo.files import QUESTION
from penstock.demo.shop import CUSTOMER
from penstock.demo.stage import Stage

INGEST_S = 120.0


async def scene(stage: Stage) -> str:
    """Returns the job's id: the last scene reads its evidence."""
    claims, shop = stage.claims, stage.shop
    claims.scene("b", "An agent with documents, an SQL tool and an HTTP tool")
    documents = own_documents()
    await _ingest(stage, documents)
    await _retrieve(stage, documents)
    if stage.hosted:
        claims.tell(f"The agent thinks with {stage.hosted}.")
    else:
        claims.tell(
            "No capable model is configured: which tool the agent calls next comes from a script, and says so here."
            " All else is real: policy, tools, database, HTTP, search, audit."
        )
    claims.tell(f"Asked: {QUESTION}")
    view, events = await run_agent(stage, "analyst", QUESTION)
    answer = answer_of(view).text
    claims.tell(f"Answered: {answer}")
    names = [event.name for event in events if event.type == "step"]
    used = [name for name in names if name in ("search_documents", "open_orders", "euro_rate")]
    claims.check("the run completed", view.state == "completed", f"{view.steps} steps")
    claims.check(
        "it searched the documents and called both tools",
        {"search_documents", "open_orders", "euro_rate"} <= set(used),
        ", ".join(used),
    )
    asked = shop.seen("/rate")
    claims.check("the shop's HTTP server was asked", len(asked) >= 1, f"{len(asked)} request")
    claims.check(
        f"what it was told came from the database: order M-{shop.secret} of {CUSTOMER}, a number made up for today",
        any(f"M-{shop.secret}" in visit.body for visit in asked),
    )
    claims.check(
        "the answer holds today's rate, which only the HTTP server knew", str(shop.rate) in answer, str(shop.rate)
    )
    return view.id


async def run_agent(stage: Stage, agent: str, question: str, usd: float = 0.0) -> tuple[JobView, list[JobEvent]]:
    """One agent job, its events shown as they come."""
    submitted = await stage.plane.submit(job("agent", question, agent=agent, usd=usd))
    events = await follow_events(stage, submitted.id)
    return await stage.plane.get(submitted.id), events


async def follow_events(stage: Stage, id: str) -> list[JobEvent]:
    """To the job's last, each shown."""
    events: list[JobEvent] = []
    async with aclosing(stage.plane.events(id)) as items:
        async for event in items:
            events.append(event)
            stage.claims.screen.say(f"    {event.n:>2}  {event_line(event)}", style="dim")
    return events


async def _ingest(stage: Stage, documents: list[Document]) -> None:
    sent = [
        await stage.plane.submit(job("ingest", {"source": each.source, "title": each.source, "text": each.text}))
        for each in documents
    ]
    with stage.claims.screen.working(f"reading {len(documents)} documents"):
        views = [await stage.plane.wait(each.id, timeout_s=INGEST_S) for each in sent]
    stage.claims.check(
        "the project's own documents were taken in",
        all(view.state == "completed" for view in views),
        f"{len(documents)}, from {documents[0].source} to {documents[-1].source}",
    )


async def _retrieve(stage: Stage, documents: list[Document]) -> None:
    view = await stage.plane.run(job("retrieve", {"query": "decision record before the action", "limit": 3}))
    found = msgspec.json.decode(view.output, type=Found) if view.output else Found([])
    texts = {each.source: " ".join(each.text.split()) for each in documents}
    literal = [p for p in found.passages if " ".join(p.text.split())[:80] in texts.get(p.source, "")]
    for passage in found.passages[:1]:
        stage.claims.tell(f"A search finds, in {passage.source}: “{' '.join(passage.text.split())[:150]}…”")
    stage.claims.check(
        "a search gives passages that stand in those files",
        bool(found.passages) and bool(literal),
        f"{len(literal)} of {len(found.passages)} found again word for word"
        + (", by words alone" if found.lexical_only else ", by words and vectors"),
    )
