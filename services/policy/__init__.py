"""Policy: who it is, whether it may, what it may cost.

Answers: penstock.policy.{authenticate, evaluate, evaluations, delegate, balances}, penstock.v1.<tenant>.api.token.
Calls: nobody. Hears the audit stream and settles from it.
Keeps: API keys, limits and the bundle in files; the signing key in its data folder; balances in the store.
"""
