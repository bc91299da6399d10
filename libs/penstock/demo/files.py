"""The configuration of the demonstration's plane: models, tools and agents, as their files."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from penstock.demo.shop import CUSTOMER
from penstock.local.environment import has_provider_key
from penstock.local.layout import write_private
from services.router.models.file import DeploymentEntry, ModelsFile, PriceEntry
from services.router.models.made_up import LocalModels, models_file

SCRIPT = "script"
PAID = "paid"
PRICE_USD_PER_MTOK = 10
CALL_TOKENS = 500
DOORS = 6

QUESTION = (
    f"What do the open orders of {CUSTOMER} come to in euros? And what does this system write down before it acts?"
)
TIDY_UP = f"Tidy up: delete the orders of {CUSTOMER}."
COUNT_FOR_EVER = "Look at the rate again and again, and never stop."
NIGHT_ROUND = f"Make the night round: all {DOORS} doors."


def write_files(config: Path, shop_port: int, database: Path, local: LocalModels, env: Mapping[str, str]) -> str:
    """Writes them all; the name of the model that answers the agents' questions, for the screen."""
    capable = has_provider_key(env)
    models = models_file(env, local)
    thinker = models.default.chat if capable else SCRIPT
    write_private(config / "models.yaml", _json(_with_scripts(models)))
    write_private(config / "script.yaml", _json({"rules": _rules()}))
    write_private(config / "tools.yaml", _json({"tools": _tools(shop_port, database)}))
    write_private(config / "agents.yaml", _json({"agents": _agents(thinker)}))
    return models.entry(models.default.chat).deployments[0] if capable else ""


def _with_scripts(models: ModelsFile) -> ModelsFile:
    """JSON is YAML: what the service would make up by itself, and the scripted models beside it."""
    price = PriceEntry(input_usd_per_mtok=Decimal(PRICE_USD_PER_MTOK), output_usd_per_mtok=Decimal(PRICE_USD_PER_MTOK))
    scripted = {
        SCRIPT: DeploymentEntry(provider="scripted", model=SCRIPT, script="script.yaml", output_tokens_max=2000),
        PAID: DeploymentEntry(
            provider="scripted", model=PAID, script="script.yaml", output_tokens_max=2000, price=price
        ),
    }
    return ModelsFile(
        models.deployments | scripted, models.aliases | {name: [name] for name in scripted}, models.default
    )


def _rules() -> list[dict[str, object]]:
    """What the scripted model says, by the question and by how often it has answered it already."""
    rules: list[dict[str, object]] = [
        _calls(QUESTION, 0, "search_documents", {"query": "decision record written before an action", "limit": 3}),
        _calls(QUESTION, 1, "open_orders", {"customer": CUSTOMER}),
        _calls(QUESTION, 2, "euro_rate", {"currency": "EUR", "orders": "{tool}"}),
        _says(QUESTION, 3, "The documents say what is written down first; the shop's desk says: {tool}"),
        _calls(TIDY_UP, 0, "delete_orders", {"customer": CUSTOMER}),
        _says(TIDY_UP, 1, "I could not do that. I was told: {tool} The orders are as they were."),
    ]
    rules += [_calls(NIGHT_ROUND, door, "check_door", {"door": str(door + 1)}) for door in range(DOORS)]
    rules.append(_says(NIGHT_ROUND, DOORS, f"All {DOORS} doors are locked."))
    endless = _calls(COUNT_FOR_EVER, 0, "euro_rate", {"currency": "USD", "orders": ""})
    rules.append(endless | {"when": {"contains": COUNT_FOR_EVER}})
    return rules


def _calls(asked: str, turn: int, tool: str, arguments: dict[str, object]) -> dict[str, object]:
    calls = [{"name": tool, "arguments": arguments}]
    return {"when": {"contains": asked, "turn": turn}, "calls": calls, "usage": _usage()}


def _says(asked: str, turn: int, text: str) -> dict[str, object]:
    return {"when": {"contains": asked, "turn": turn}, "say": text, "pause_s": 0.02, "usage": _usage()}


def _usage() -> dict[str, int]:
    return {"input": CALL_TOKENS, "output": CALL_TOKENS}


def _tools(port: int, database: Path) -> list[dict[str, object]]:
    shop = f"http://127.0.0.1:{port}"
    return [
        {
            "name": "open_orders",
            "description": "The open orders of a customer, from the shop's order book.",
            "kind": "sql",
            "parameters": _strings("customer"),
            "sql": {
                "database": f"sqlite:{database}",
                "statement": "SELECT number, what, usd FROM orders WHERE customer = :customer AND state = 'open'",
            },
        },
        _http("euro_rate", "Today's rate from dollars, for some orders.", "currency", "orders")
        | {
            "http": {
                "url": f"{shop}/rate",
                "method": "POST",
                "query": {"currency": "{currency}"},
                "json": {"orders": "{orders}"},
                "private_hosts": ["127.0.0.1"],
            },
        },
        _http("check_door", "Whether a door is locked.", "door")
        | {
            "effect": "idempotent",
            "http": {
                "url": f"{shop}/door",
                "method": "POST",
                "query": {"number": "{door}"},
                "private_hosts": ["127.0.0.1"],
            },
        },
        _http("delete_orders", "Deletes all orders of a customer.", "customer")
        | {
            "effect": "idempotent",
            "labels": ["destructive"],
            "http": {
                "url": f"{shop}/orders",
                "method": "DELETE",
                "query": {"customer": "{customer}"},
                "private_hosts": ["127.0.0.1"],
            },
        },
    ]


def _http(name: str, description: str, *arguments: str) -> dict[str, object]:
    return {"name": name, "description": description, "kind": "http", "parameters": _strings(*arguments)}


def _strings(*names: str) -> dict[str, object]:
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": list(names)}


def _agents(thinker: str) -> list[dict[str, object]]:
    helpful = "You work for a small shop. Use your tools; do not guess. Answer briefly."
    return [
        _agent("analyst", thinker, helpful, "search_documents", "open_orders", "euro_rate"),
        _agent("clerk", SCRIPT, helpful, "delete_orders"),
        _agent("spender", PAID, helpful, "euro_rate") | {"limits": {"max_steps": 100}},
        _agent("watchman", SCRIPT, helpful, "check_door") | {"limits": {"max_steps": 20}},
    ]


def _agent(name: str, model: str, instructions: str, *tools: str) -> dict[str, object]:
    return {"name": name, "model": model, "instructions": instructions, "tools": list(tools)}


def _json(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
