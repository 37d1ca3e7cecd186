"""How many rows fit into one forward: learnt from what failed, and tried again now and then."""

from __future__ import annotations

PATIENCE = 64
"""Full forwards that must go well before a larger size is tried again."""
LONGEST_PATIENCE = 64 * PATIENCE


class Room:
    """Halves when memory runs out and keeps to what fits, so that the same failure is not paid for in every batch.

    After ``PATIENCE`` full forwards the size doubles once; where that fails, it waits twice as long the next time.
    """

    def __init__(self, most: int) -> None:
        self.most = self.rows = most
        self._patience = PATIENCE
        self._good = 0
        self._trying = False

    def too_many(self, rows: int) -> None:
        """A forward of so many rows ran out of memory."""
        if self._trying:
            self._patience = min(2 * self._patience, LONGEST_PATIENCE)
        self.rows = max(1, rows // 2)
        self._good, self._trying = 0, False

    def fitted(self, rows: int) -> None:
        """A forward of so many rows went well."""
        if rows < self.rows or self.rows == self.most:
            self._trying = self._trying and rows < self.rows
            return
        self._good, self._trying = self._good + 1, False
        if self._good >= self._patience:
            self.rows = min(self.most, 2 * self.rows)
            self._good, self._trying = 0, True
