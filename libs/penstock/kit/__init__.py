"""What makes services alike: config, start, ready, drain, the boundary, records, identity, metrics, logs, health.

A service imports the module that knows the thing: `from penstock.kit.service import Service, answer, run`.
"""
