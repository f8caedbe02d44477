"""The sentiment of a headline whose publisher gives none: a small lexicon, and one sum.

Words of the list count one each, for or against; a word of negation turns the next listed word within three words of
it around. The sentiment is (for - against) / (for + against), from -1 to 1, two digits; None where no listed word is
there. Pure. Must not know where a headline comes from.
"""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GOOD: Final = _words(
    """
    adopt adopted adoption adopts advance advances approval approve approved approves beat beats boom booming
    breakout bull bullish climb climbed climbs gain gained gains growth high highs improve improved improves
    inflow inflows jump jumped jumps launch launched launches optimism optimistic outperform outperforms partner
    partners partnership profit profitable profits rallied rallies rally rebound rebounded rebounds record
    recover recovered recovers recovery rise rises rising rose soar soared soars strong stronger strongest
    success successful surge surged surges upgrade upgraded upgrades win wins won
    """
)
BAD: Final = _words(
    """
    attack attacked attacks ban bankrupt bankruptcy banned bans bear bearish breach breached collapse collapsed
    collapses concern concerns crackdown crash crashed crashes crisis cut cuts decline declined declines default
    defaults delay delayed delays delist delisted delists down downgrade downgraded downgrades drop dropped
    drops exploit exploited fall fallen falls fear fears fell fine fined fraud hack hacked hackers halt halted
    halts investigation lawsuit liquidated liquidation liquidations lose loses loss losses lost low lows miss
    missed misses outage outflow outflows panic plunge plunged plunges probe recession reject rejected rejects
    risk risks scam sell-off selloff shutdown sink sinks slump slumped slumps stolen sue sued sues theft tumble
    tumbled tumbles warn warned warning warns weak weaker weakest worst
    """
)
NEGATIONS: Final = _words("no not never without cannot fails failed")
REACH: Final = 3  # words that a negation turns around

_WORD: Final = re.compile(r"[a-z]+(?:[-'’][a-z]+)*")


def sentiment(text: str) -> float | None:
    """Of an English text: see the module."""
    good = bad = 0
    reach = 0
    for word in _WORD.findall(text.lower()):
        if word in NEGATIONS or word.endswith(("n't", "n’t")):
            reach = REACH
            continue
        if word in GOOD or word in BAD:
            if (word in GOOD) is not (reach > 0):
                good += 1
            else:
                bad += 1
            reach = 0
        else:
            reach = max(0, reach - 1)
    return round((good - bad) / (good + bad), 2) if good + bad else None
