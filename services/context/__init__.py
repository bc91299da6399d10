"""Keeps documents and conversations, and finds the passages that match a question by words and by meaning.

Answers: penstock.context.ingest, penstock.context.search, penstock.context.append, penstock.context.history,
penstock.context.forget.
Calls: policy, router (embeddings).
Keeps: documents and sessions, in the store; an index of each collection in use, in memory.
"""
