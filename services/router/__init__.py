"""Model calls, each served by a deployment of the alias that was asked for.

Answers: penstock.llm.complete, penstock.llm.stream, penstock.llm.count, penstock.llm.embed, penstock.llm.rerank,
penstock.llm.models, penstock.llm.response.get, penstock.llm.response.delete.
Calls: penstock.policy.evaluate, penstock.policy.evaluations (through the boundary); penstock.policy.authenticate, with
the key that pays for probes; model providers over HTTP.
Keeps: in the store, where there is one: answers of the cache, stored responses, what routers tell one another. The
models file is read, and the health of deployments is short-lived and in memory.
"""
