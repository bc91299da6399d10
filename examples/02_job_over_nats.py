"""A job is a message on NATS: publish it, follow its life and the model's output, fetch the result.

Start a plane with `make run`, then: .venv/bin/python examples/02_job_over_nats.py "Why is the sky blue?"
"""

import asyncio
import sys
from contextlib import aclosing

import penstock


async def main() -> None:
    question = " ".join(sys.argv[1:]) or "Hello"
    async with await penstock.connect() as plane:
        # `publish` returns when the broker has the job on disk; from then on it is not lost.
        # `submit` would ask the plane to look at it first, and raise if the job is refused.
        job = penstock.job("chat", question, labels={"example": "02"})
        await plane.publish(job)
        print("published", job.id)

        async with aclosing(plane.follow(job.id)) as items:
            async for item in items:
                if isinstance(item, penstock.TokenFrame):  # the model's output as it comes
                    print(item.text, end="\n" if item.last else "", flush=True)
                else:  # a penstock.JobEvent: one moment of the job's life
                    print(f"event {item.n}: {item.type} {item.step}")

        view = await plane.get(job.id)
        print(f"{view.state}: {view.steps} steps, {view.usage.total} tokens, output {bytes(view.output).decode()}")


if __name__ == "__main__":
    asyncio.run(main())
