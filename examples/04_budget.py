"""A budget is held before the money is spent: a job whose worst case does not fit is refused, and the model is not
asked.

Start a plane with `make run`, then: .venv/bin/python examples/04_budget.py
"""

import asyncio

import penstock

QUESTION = {"messages": [{"role": "user", "content": "Name three rivers."}], "max_tokens": 60}
"""The input of a chat job may be any OpenAI chat request. `max_tokens` bounds the worst case."""


async def main() -> None:
    async with await penstock.connect() as plane:
        for tokens in (5000, 20):
            # `usd=` works the same way. The local model is free, so that tokens show more here.
            view = await plane.run(penstock.job("chat", QUESTION, tokens=tokens), timeout_s=120)
            print(f"a budget of {tokens} tokens: {view.state}, {view.usage.total} tokens used")
            if view.error is not None:
                print(f"  {view.error.code}: {view.error.detail}")


if __name__ == "__main__":
    asyncio.run(main())
