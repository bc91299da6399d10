"""Checks that the log holds the stream's messages, each once, whole, and in the stream's order. Pure."""

from services.audit.leaf import Leaf


class Order:
    """A fold over the leaves, from the first on."""

    def __init__(self) -> None:
        self._sequence = 0
        self._next = 0
        self._of = 0

    def add(self, index: int, leaf: Leaf) -> str:
        """What is wrong at this record; "" if it follows the one before it."""
        problem = self._problem(leaf)
        self._sequence, self._next, self._of = leaf.sequence, leaf.position + 1, leaf.of
        return (
            f"record {index} (message {leaf.sequence}, {leaf.position + 1} of {leaf.of}): {problem}" if problem else ""
        )

    def end(self, size: int) -> str:
        if self._next < self._of:
            return f"after record {size - 1}: {self._rest_missing()}"
        return ""

    def _rest_missing(self) -> str:
        return f"records {self._next + 1} to {self._of} of message {self._sequence} are missing"

    def _problem(self, leaf: Leaf) -> str:
        if not 0 <= leaf.position < leaf.of:
            return "it is no place in a message"
        if leaf.sequence == self._sequence:
            if leaf.position == self._next and leaf.of == self._of:
                return ""
            return "it stands here twice" if leaf.position < self._next else "records before it are missing"
        if self._sequence and leaf.sequence < self._sequence:
            return f"it comes after message {self._sequence}"
        if self._next < self._of:
            return self._rest_missing()
        if self._sequence and leaf.sequence > self._sequence + 1:
            return f"the messages {self._sequence + 1} to {leaf.sequence - 1} of the stream are missing"
        return "" if leaf.position == 0 else "records before it are missing"
