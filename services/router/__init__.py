"""Model calls, each served by a deployment of the alias that was asked for.

Answers: penstock.llm.complete, penstock.llm.stream, penstock.llm.embed, penstock.llm.models.
Calls: penstock.policy.evaluate, penstock.policy.evaluations (through the boundary); model providers over HTTP.
Keeps: nothing; the models file is read, and the health of deployments is short-lived and in memory.
"""
