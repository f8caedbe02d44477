"""A histogram of plain C counters: 16 buckets a power of two."""

class Histogram:
    def add(self, value: int, times: int = 1) -> None:
        """Count a value; one below 0 counts as 0. For tests: the sweep counts in C."""

    def buckets(self) -> list[tuple[int, int]]:
        """(upper bound, count) of each bucket that has a count, in order."""
