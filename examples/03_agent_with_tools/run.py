"""An agent with two tools: one that policy lets it call, and one that policy refuses.

Before it: copy this folder's files into the plane's configuration and start the plane (again):
    make run                       # once, so that .penstock exists; then ^C
    .venv/bin/python examples/03_agent_with_tools/order_book.py .penstock/config/orders.db
    cp examples/03_agent_with_tools/*.yaml .penstock/config/
    make run
Then, beside it: .venv/bin/python examples/03_agent_with_tools/run.py
"""

import asyncio
import json

import penstock


async def main() -> None:
    async with await penstock.connect() as plane:
        await ask(plane, "Which orders of Meridian are open?")
        job = await ask(plane, "Cancel all orders of Meridian.")

        print("what the log has on the second one:")
        trail = await plane.trail(job=job)
        for entry in trail.entries:
            data = json.loads(bytes(entry.record.data))
            if data.get("effect") == "deny":
                reasons = "; ".join(f"{reason['policy']}: {reason['text']}" for reason in data["reasons"])
                print(f"  record {entry.index}: {data['resource']} denied by {reasons}")


async def ask(plane: penstock.Penstock, question: str) -> str:
    """One agent job, shown as it happens; its id."""
    print("asked:", question)
    submitted = await plane.submit(penstock.job("agent", question, agent="clerk", usd=0.10))
    async for event in plane.events(submitted.id):
        if event.type == "step":
            print(f"  {event.step}: {event.name}" + (f" -> {event.error.code}" if event.error else ""))
    view = await plane.get(submitted.id)
    if view.error is not None:
        print(f"{view.state}: {view.error.code}: {view.error.detail}")
    else:
        print("answered:", json.loads(bytes(view.output))["text"])
    return view.id


if __name__ == "__main__":
    asyncio.run(main())
