"""A book that is wrong is not served."""

from __future__ import annotations

import pytest

from gateway.sources.guard import BookGuard, Verdict

BIDS, ASKS = [[100.0, 1.0], [99.0, 1.0]], [[101.0, 1.0], [102.0, 1.0]]
CROSSED = [[101.0, 1.0]]


@pytest.fixture
def guard() -> BookGuard:
    guard = BookGuard(contradiction_ms=5_000, crossed_ms=500)
    assert guard.book(BIDS, ASKS, 10, 1_000, 0) is Verdict.SERVE
    return guard


def test_a_nonce_may_repeat_or_be_missing_but_not_go_back(guard: BookGuard) -> None:
    assert guard.book(BIDS, ASKS, 10, 1_000, 1) is Verdict.SERVE
    assert guard.book(BIDS, ASKS, None, 1_000, 2) is Verdict.SERVE
    assert guard.book(BIDS, ASKS, 9, 1_000, 3) is Verdict.BROKEN
    assert guard.why == "nonce went back from 10 to 9"


def test_a_crossed_book_is_held_back_and_then_given_up(guard: BookGuard) -> None:
    assert guard.book(CROSSED, ASKS, 11, 1_000, 100) is Verdict.HOLD
    assert guard.book(CROSSED, ASKS, 12, 1_000, 400) is Verdict.HOLD
    assert guard.check(400) is Verdict.HOLD
    assert guard.book(CROSSED, ASKS, 13, 1_000, 600) is Verdict.BROKEN


def test_a_crossed_book_without_another_message_is_given_up_too(guard: BookGuard) -> None:
    assert guard.book(CROSSED, ASKS, 11, 1_000, 100) is Verdict.HOLD
    assert guard.check(601) is Verdict.BROKEN


def test_sides_that_come_apart_cross_for_a_moment(guard: BookGuard) -> None:
    assert guard.book(CROSSED, ASKS, 11, 1_000, 100) is Verdict.HOLD
    assert guard.book(CROSSED, [[102.0, 1.0]], 12, 1_000, 101) is Verdict.SERVE
    assert guard.check(10_000) is Verdict.SERVE


def test_one_side_empty_is_a_book(guard: BookGuard) -> None:
    assert guard.book([], ASKS, 11, 1_000, 1) is Verdict.SERVE
    assert guard.trade(1.0, 1_000, 2) is Verdict.SERVE


def test_a_book_that_stands_still_while_trades_print(guard: BookGuard) -> None:
    assert guard.trade(101.0, 1_100, 1_000) is Verdict.SERVE
    assert guard.trade(100.0, 4_000, 5_000) is Verdict.SERVE
    assert guard.trade(101.0, 5_000, 6_000) is Verdict.SERVE, "not longer than the budget"
    assert guard.trade(101.0, 5_100, 6_001) is Verdict.BROKEN


def test_a_book_that_moves_does_not_stand_still(guard: BookGuard) -> None:
    for now_ms in range(1_000, 20_000, 1_000):
        assert guard.trade(101.0, now_ms, now_ms) is Verdict.SERVE
        assert guard.book(BIDS, ASKS, 10 + now_ms, now_ms, now_ms) is Verdict.SERVE


@pytest.mark.parametrize("nonce", [10, None])
def test_a_book_that_is_told_again_and_again_stands_still(guard: BookGuard, nonce: int | None) -> None:
    guard.book(BIDS, ASKS, nonce, 1_000, 0)
    verdicts = []
    for now_ms in range(1_000, 8_000, 1_000):
        verdicts.append(guard.trade(101.0, now_ms, now_ms))
        verdicts.append(guard.book([[*level] for level in BIDS], ASKS, nonce, now_ms, now_ms))
    assert verdicts[:13] == [Verdict.SERVE] * 12 + [Verdict.BROKEN]
    assert guard.why.startswith("stands still")


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("field", [0, 1])
def test_a_best_level_that_changes_is_a_book_that_moves(guard: BookGuard, side: int, field: int) -> None:
    """Also where ccxt changes the very levels that it gave before."""
    sides = [[[100.0, 1.0]], [[101.0, 1.0]]]
    for now_ms in range(1_000, 20_000, 1_000):
        assert guard.trade(100.5, now_ms, now_ms) is Verdict.SERVE
        sides[side][0][field] += 0.1 if now_ms % 2_000 else -0.1
        assert guard.book(sides[0], sides[1], None, now_ms, now_ms) is Verdict.SERVE


def test_a_book_with_one_side_that_is_told_again_stands_still(guard: BookGuard) -> None:
    verdicts = []
    for now_ms in range(1_000, 8_000, 1_000):
        guard.book([], ASKS, None, now_ms, now_ms)
        verdicts.append(guard.trade(101.0, now_ms, now_ms))
    assert verdicts == [Verdict.SERVE] * 6 + [Verdict.BROKEN]


def test_few_trades_prove_nothing(guard: BookGuard) -> None:
    guard.trade(101.0, 1_000, 1_000)
    assert guard.trade(101.0, 9_000, 9_000) is Verdict.SERVE


def test_trades_beside_a_moving_book_contradict_it(guard: BookGuard) -> None:
    verdicts = []
    for now_ms in range(1_000, 8_000, 1_000):
        verdicts.append(guard.trade(90.0, now_ms, now_ms))
        verdicts.append(guard.book(BIDS, ASKS, 10 + now_ms, now_ms, now_ms))
    assert Verdict.BROKEN in verdicts
    assert verdicts[:10] == [Verdict.SERVE] * 10


def test_one_trade_inside_clears_the_suspicion(guard: BookGuard) -> None:
    for now_ms in range(1_000, 20_000, 1_000):
        price = 90.0 if now_ms % 4_000 else 100.0
        assert guard.trade(price, now_ms, now_ms) is Verdict.SERVE
        assert guard.book(BIDS, ASKS, 10 + now_ms, now_ms, now_ms) is Verdict.SERVE


def test_a_sweep_ahead_of_the_book_is_no_contradiction_when_no_trade_follows(guard: BookGuard) -> None:
    for price in (101.5, 102.0, 102.5, 103.0):
        assert guard.trade(price, 1_050, 1_000) is Verdict.SERVE
    for now_ms in range(1_100, 20_000, 100):
        assert guard.book([[102.0, 1.0]], [[103.5, 1.0]], now_ms, now_ms, now_ms) is Verdict.SERVE
    assert guard.trade(103.0, 20_000, 20_000) is Verdict.SERVE


@pytest.mark.parametrize("apart_ms", [1_001, -1_001, 4_000, 60_000])
def test_a_trade_of_another_time_is_not_held_against_the_book(guard: BookGuard, apart_ms: int) -> None:
    for now_ms in range(1_000, 20_000, 500):
        guard.book(BIDS, ASKS, 10 + now_ms, now_ms, now_ms)
        assert guard.trade(90.0, now_ms + apart_ms, now_ms) is Verdict.SERVE
        assert guard.book(BIDS, ASKS, 10 + now_ms, now_ms, now_ms) is Verdict.SERVE
