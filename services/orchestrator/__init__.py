"""Durable runs: admits jobs and carries each out as a journaled coroutine that survives the death of any process.

Answers: jobs api (submit, get, list, cancel, events, tokens), orchestrator.<worker>.deliver.
Takes in: published jobs, which it stores unread. Works off: jobs, run inputs.
Calls: llm.stream, llm.models, tool.list, tool.call, context, policy.evaluate, policy.delegate.
Keeps: the run journals and the list of jobs, on the bus.
"""
