"""(c) Policy refuses a tool call, says why, and the agent goes on."""

import msgspec

from penstock.contracts.audit import DECISION, DecisionRecord
from penstock.demo.agent import run_agent
from penstock.demo.chat import answer_of
from penstock.demo.files import TIDY_UP
from penstock.demo.stage import Stage


async def scene(stage: Stage) -> str:
    """Returns the job's id."""
    claims, shop = stage.claims, stage.shop
    claims.scene("c", "A tool call that policy refuses, and the agent going on")
    before = shop.orders()
    claims.tell(f"The tool delete_orders is labelled destructive; nobody has granted that. Asked: {TIDY_UP}")
    view, events = await run_agent(stage, "clerk", TIDY_UP)
    answer = answer_of(view).text
    claims.tell(f"Answered: {answer}")
    refused = [event for event in events if event.name == "delete_orders" and event.error is not None]
    reason = refused[0].error.detail if refused and refused[0].error else ""
    claims.check("the call was denied, with its reason", "destructive" in reason, reason)
    claims.check("the model was told so and the run went on to its end", view.state == "completed" and reason in answer)
    claims.check("the shop never heard of it", not shop.seen("/orders"), "0 requests")
    claims.check("the order book is as it was", shop.orders() == before, f"{before} orders")
    trail = await stage.plane.trail(job=view.id)
    denials = [
        decision
        for entry in trail.entries
        if entry.record.type == DECISION
        and (decision := msgspec.json.decode(entry.record.data, type=DecisionRecord)).effect == "deny"
        and "delete_orders" in decision.resource
    ]
    policies = [reason.policy for decision in denials for reason in decision.reasons]
    claims.check(
        "the refusal is on record, with the policy that decided", bool(policies), ", ".join(sorted(set(policies)))
    )
    return view.id
