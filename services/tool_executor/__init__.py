"""Runs tools: HTTP requests and SQL statements from a tools file, each call decided, bounded, and carried out once.

Answers: penstock.tool.list.{pool}, penstock.tool.call.{pool}.
Calls: policy.
Keeps: the call ledger, in the store.
"""
