"""(d) A budget runs out, and the next step is refused before it costs anything."""

from penstock.cli.watching import NANO, dollars
from penstock.demo.agent import run_agent
from penstock.demo.files import CALL_TOKENS, COUNT_FOR_EVER, PRICE_USD_PER_MTOK
from penstock.demo.stage import Stage

BUDGET_USD = 0.08


async def scene(stage: Stage) -> None:
    claims, shop = stage.claims, stage.shop
    claims.scene("d", "A budget that runs out")
    price = 2 * CALL_TOKENS * PRICE_USD_PER_MTOK / 1_000_000
    claims.tell(
        f"An agent that would go on for ever may spend {dollars(int(BUDGET_USD * NANO))}; each answer of its model"
        f" costs {dollars(round(price * NANO))}. Before each one the worst case is reserved."
    )
    visits = len(shop.seen("/rate"))
    view, events = await run_agent(stage, "spender", COUNT_FOR_EVER, usd=BUDGET_USD)
    code = view.error.code if view.error else ""
    answers = [event for event in events if event.type == "step" and event.cost_nano]
    calls = [event for event in events if event.type == "step" and event.name == "euro_rate" and event.error is None]
    claims.check(
        "it ended because the budget was used up", code == "budget_exhausted", view.error.detail if view.error else ""
    )
    claims.check("it could work before", len(answers) >= 2, f"{len(answers)} answers paid")
    claims.check(
        "it never spent more than it had",
        0 < view.cost_nano <= BUDGET_USD * NANO,
        f"{dollars(view.cost_nano)} of {dollars(int(BUDGET_USD * NANO))}",
    )
    claims.check(
        "what was paid is what was used",
        view.cost_nano == round(price * NANO) * len(answers),
        f"{len(answers)} answers",
    )
    made = len(shop.seen("/rate")) - visits
    claims.check("every tool call that the run counts reached the shop once", made == len(calls), f"{made} requests")
