"""What it may cost: limits, accounts in the store, and the ledger that both are a fold of."""
