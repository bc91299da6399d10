"""What crosses the bus: subjects bound to message types, errors, ids. Data only: the standard library and msgspec.

Fields are only ever added, each with a usable default; never renamed, never reused (tests/libs/contracts/golden).
"""
