"""The lexicon: what it says of a headline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.publications.lexicon import BAD, GOOD, NEGATIONS, sentiment


@pytest.mark.parametrize(
    ("headline", "score"),
    [
        ("Bitcoin surges to a record high", 1.0),
        ("Exchange hacked: users fear losses", -1.0),
        ("Stocks rally despite recession fears", -0.33),
        ("Ether falls, then recovers", 0.0),
        ("The regulator did not approve the fund", -1.0),
        ("Analysts aren't warning of a crash", 0.0),
        ("No end in sight as everybody waits for gains", 1.0),
        ("Company fails to beat estimates", -1.0),
        ("Bank publishes its quarterly report", None),
        ("", None),
        ("Überraschung: 上昇", None),
    ],
)
def test_headlines(headline: str, score: float | None) -> None:
    assert sentiment(headline) == score


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("not rally", -1.0),
        ("not the market rally", -1.0),
        ("not the market will rally", 1.0),  # the fourth word behind it
        ("not rally rally", 0.0),  # one word is turned around
        ("not the rally the rally", 0.0),
        ("not the market not will the rally", -1.0),  # each begins anew
        ("rally not", 1.0),
        ("won't crash", 1.0),
        ("no, the market rally", -1.0),  # words count, not what is between them
    ],
)
def test_a_negation_turns_the_next_listed_word_within_three_around(text: str, score: float) -> None:
    assert sentiment(text) == score


def test_no_word_counts_twice() -> None:
    assert not GOOD & BAD
    assert not (GOOD | BAD) & NEGATIONS
    assert all(sentiment(word) == 1 for word in sorted(GOOD))
    assert all(sentiment(word.upper()) == -1 for word in sorted(BAD))


@given(st.lists(st.sampled_from(["rally", "crash", "not", "the", "market", "won't", "’"])).map(" ".join))
def test_it_is_a_share(text: str) -> None:
    score = sentiment(text)
    assert (score is None) == (not {"rally", "crash"} & set(text.split()))
    assert score is None or -1 <= score <= 1
