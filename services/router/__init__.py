"""Answers LLM_COMPLETE, LLM_STREAM, LLM_EMBED, LLM_MODELS: model calls, each served
by a deployment of the alias that was asked for.
Calls POLICY_EVALUATE, POLICY_EVALUATIONS (through the boundary), and model providers over HTTP.
Keeps nothing: the models file is read, the health of deployments is short-lived and in memory.
"""
