"""The protocols that callers and providers speak.

A request goes to a provider that speaks its protocol byte for byte, but for what must change (`body.py`, `tap.py` of
each protocol). To a provider that speaks another it goes by way of the neutral form (`prompt.py`, `answer.py`), and so
does the answer on its way back. What the other protocol cannot carry is a loss (`loss.py`), never a silence.
"""
