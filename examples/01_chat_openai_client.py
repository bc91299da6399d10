"""An OpenAI client that talks to Penstock: nothing in it but the address and the key is Penstock's.

Start a plane with `make run`, then: .venv/bin/python examples/01_chat_openai_client.py "Why is the sky blue?"
"""

import os
import sys
from pathlib import Path

from openai import OpenAI

import penstock


def main() -> None:
    # The profile is what `make run` leaves for programs on the same machine. Elsewhere: base_url and api_key by hand.
    profile = penstock.find_profile(os.environ, Path.cwd(), Path.home())
    client = OpenAI(base_url=f"{profile.http_url}/v1", api_key=profile.key())
    question = " ".join(sys.argv[1:]) or "Hello"

    print("models:", ", ".join(model.id for model in client.models.list()))
    chunks = client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": question}], stream=True
    )
    for chunk in chunks:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()

    # A plain answer says in its headers who served it, what it cost, and which decision allowed it.
    answer = client.chat.completions.with_raw_response.create(
        model="default", messages=[{"role": "user", "content": question}], max_tokens=50
    )
    for name, value in answer.headers.items():
        if name.startswith("x-"):
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
