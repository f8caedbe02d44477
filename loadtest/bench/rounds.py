"""Several rounds of one measurement as one: what takes the machine for a moment decides no limit.

Pure. Must not know what was measured, nor how.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from loadtest.bench.clients import Figures

N = TypeVar("N", int, float)
STUDENT_T_95 = {  # one-sided, by the number of rounds, which is one more than the degrees of freedom
    3: 2.920, 4: 2.353, 5: 2.132, 6: 2.015, 7: 1.943, 8: 1.895, 9: 1.860, 10: 1.833, 11: 1.812, 12: 1.796,
}  # fmt: skip


class Turns(NamedTuple):
    """One quantity in rounds in turns, ours to another's."""

    ratio: float  # the geometric mean of the rounds' ratios
    at_least: float  # what the ratio is above, to 95 %
    error: float  # standard error of the ratio's logarithm: 0.1 is some 10 %


def middle(rounds: Sequence[Figures], *, some_stalled: bool = False) -> Figures:
    """The medians of what is measured, and the worst of what is counted: nothing that was lost in one round is
    forgiven for the others. Histogram, samples, other stamps and names are of the round whose p99 is in the middle.

    `some_stalled`: announced gaps are theirs, who have to be told; else each is one too many.
    """
    base = sorted(rounds, key=lambda each: each.p99_ms)[len(rounds) // 2]
    return replace(
        base,
        connect_s=_median(rounds, lambda each: each.connect_s),
        msg_s=_median(rounds, lambda each: each.msg_s),
        p50_ms=_median(rounds, lambda each: each.p50_ms),
        p99_ms=_median(rounds, lambda each: each.p99_ms),
        p999_ms=_median(rounds, lambda each: each.p999_ms),
        max_ms=max(each.max_ms for each in rounds),
        us_per_msg=_median(rounds, lambda each: each.us_per_msg),
        server_cpu=_median(rounds, lambda each: each.server_cpu),
        client_cpu=_median(rounds, lambda each: each.client_cpu),
        client_waited=_of_known(statistics.median, [each.client_waited for each in rounds]),
        rss_kib=round(_median(rounds, lambda each: each.rss_kib)),
        empty_rss_kib=round(_median(rounds, lambda each: each.empty_rss_kib)),
        messages_per_send=_of_known(statistics.median, [each.messages_per_send for each in rounds]),
        alive=min(each.alive for each in rounds),
        readers_alive=_of_known(min, [each.readers_alive for each in rounds]),
        least_per_conn=min(each.least_per_conn for each in rounds),
        most_per_conn=max(each.most_per_conn for each in rounds),
        unannounced=_of_known(max, [each.unannounced for each in rounds]),
        announced=_of_known(min if some_stalled else max, [each.announced for each in rounds]),
        announced_to_readers=_of_known(max, [each.announced_to_readers for each in rounds]),
        repeated=_of_known(max, [each.repeated for each in rounds]),
    )


def in_turns(ours: Sequence[float], others: Sequence[float]) -> Turns | None:
    """Of rounds that were one after the other: what takes the machine for minutes is in both of a round and cancels.
    None of fewer than three rounds, of which an error says nothing, and where something took no time."""
    if len(ours) not in STUDENT_T_95 or min(*ours, *others) <= 0:
        return None
    logs = [math.log(our / other) for our, other in zip(ours, others, strict=True)]
    mean, error = statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    return Turns(math.exp(mean), math.exp(mean - STUDENT_T_95[len(logs)] * error), error)


def _median(rounds: Sequence[Figures], read: Callable[[Figures], float]) -> float:
    return statistics.median(map(read, rounds))


def _of_known(choose: Callable[[list[N]], N], values: Sequence[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return choose(known) if known else None
