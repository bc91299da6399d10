"""The tries that a request gets, what is learned from them, and what replicas tell one another."""
