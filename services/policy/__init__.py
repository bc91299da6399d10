"""Policy: who it is, whether it may, what it may cost.

Answers: penstock.policy.{authenticate, evaluate, evaluations, delegate, balances}; of tenants' calls token, and those
about keys, accounts, approvals, bundles of policies and past decisions.
Calls: nobody. Hears the audit stream and settles from it.
Keeps: API keys, published bundles and approvals in the broker's buckets; keys, limits and a bundle in files; the
signing key in its data folder; balances in the store.
"""
