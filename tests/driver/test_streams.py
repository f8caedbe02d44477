"""Streams, message by message: what is asked for, told, confirmed and resumed."""

from __future__ import annotations

from driver.stream import Gap, Key
from tests.driver.streaming import ORDERS, POSITIONS, QUOTES, TRADES, Client, gap, live, subscribed, update


def test_what_many_want_is_asked_for_in_one_request() -> None:
    client = Client()
    for number in range(300):
        client.use(Key("bars", f"sim:C{number}/USDT", "1m"))
    client.use(Key("bars", "sim:C1/USDT", "5m"))
    client.use(Key("book", "sim:C1/USDT"), 20)
    requests = client.open()
    assert [(request["channel"], len(request["symbols"])) for request in requests] == [
        ("bars", 250), ("bars", 50), ("bars", 1), ("book", 1)
    ]  # fmt: skip
    assert (requests[2]["timeframe"], requests[3]["depth"]) == ("5m", 20)


def test_a_stream_is_left_with_its_last_user() -> None:
    client, _ = live()
    client.use(QUOTES)
    assert not client.streams.leave(QUOTES)
    assert client.streams.requests() == []
    assert client.streams.leave(QUOTES)
    assert client.streams.requests() == [{"action": "unsubscribe", "channel": "quotes", "symbols": ["sim:BTC/USDT"]}]
    assert client.streams.receive(update(1)), "what was on its way is nobody's"


def test_one_that_is_wanted_again_in_the_same_turn_is_not_left() -> None:
    client, _ = live()
    client.streams.leave(QUOTES)
    client.use(QUOTES)
    assert [request["action"] for request in client.streams.requests()] == ["subscribe"]


def test_a_deeper_book_is_asked_for_anew() -> None:
    client = Client()
    client.use(Key("book", "sim:BTC/USDT"), 10)
    (request,) = client.open()
    client.streams.receive(subscribed(request))
    client.use(Key("book", "sim:BTC/USDT"), 5)
    assert client.streams.requests() == []
    client.use(Key("book", "sim:BTC/USDT"), 50)
    (request,) = client.streams.requests()
    assert (request["depth"], "resume" in request) == (50, False)


def test_after_a_drop_everything_goes_on_where_it_was() -> None:
    client, listener = live(sequence=41)
    client.streams.receive(update(42))
    client.streams.closed()
    assert listener.states == [True, False]
    (request,) = client.open()
    assert request["resume"] == {"sim:BTC/USDT": {"epoch": "e1", "sequence": 42}}
    client.streams.receive(subscribed(request, sequence=42, recovered=True, replayed=1))
    client.streams.receive(update(43))
    assert listener.numbers == [42, 43]
    assert listener.gaps == []


def test_what_comes_again_is_told_once() -> None:
    client, listener = live()
    for number in (1, 2, 2, 1, 3):
        client.streams.receive(update(number))
    assert listener.numbers == [1, 2, 3]


def test_a_snapshot_is_taken_at_its_number() -> None:
    client, listener = live(sequence=41)
    client.streams.receive(update(41, kind="snapshot"))
    client.streams.receive(update(42))
    assert listener.numbers == [41, 42]


def test_positions_are_resumed_only_after_those_that_are_open_were_told() -> None:
    client = Client()
    client.use(POSITIONS)
    (request,) = client.open()
    assert request["snapshot"]
    for is_whole in (False, True):
        client.streams.receive(subscribed(request, sequence=4))
        if is_whole:
            client.streams.receive({**update(4, kind="snapshot"), "channel": "positions"})
        assert client.streams.by_key[POSITIONS].is_whole == is_whole
        client.streams.closed()
        (request,) = client.open()
        assert ("resume" in request) == is_whole
    client.streams.leave(POSITIONS, is_kept=True)
    assert client.use(POSITIONS)
    assert client.streams.by_key[POSITIONS].is_whole, "what is known goes on"


def test_a_hole_that_nobody_announced_is_filled_by_resuming() -> None:
    client, listener = live()
    client.streams.receive(update(1))
    client.streams.receive(update(3))
    client.streams.receive(update(4))
    (request,) = client.streams.requests()
    assert request["resume"] == {"sim:BTC/USDT": {"epoch": "e1", "sequence": 1}}
    client.streams.receive(subscribed(request, sequence=1, recovered=True, replayed=3))
    for number in (2, 3, 4):
        client.streams.receive(update(number))
    assert listener.numbers == [1, 2, 3, 4]


def test_an_epoch_that_ended_is_told_and_left_behind() -> None:
    client, listener = live()
    client.streams.receive(update(1))
    client.streams.receive(gap(2, 2, reason="upstream", new_epoch="e2"))
    client.streams.receive(update(2))
    client.streams.receive(update(1, epoch="e2"))
    assert [(each["epoch"], each["sequence"]) for each in listener.told] == [("e1", 1), ("e2", 1)]
    assert listener.gaps == [Gap("quotes", "sim:BTC/USDT", "upstream", "e1", 2, 2, "e2")]


def test_what_cannot_be_resumed_is_told_with_both_gaps() -> None:
    client, listener = live(sequence=7)
    client.streams.closed()
    (request,) = client.open()
    client.streams.receive(subscribed(request, epoch="e2", sequence=5, recovered=False))
    client.streams.receive(gap(8, 8, reason="resync", new_epoch="e2"))
    client.streams.receive(gap(1, 5, epoch="e2", reason="resync"))
    client.streams.receive(update(5, epoch="e2", kind="snapshot"))
    client.streams.receive(update(6, epoch="e2"))
    assert [(each.first, each.new_epoch) for each in listener.gaps] == [(8, "e2"), (1, None)]
    assert listener.numbers == [5, 6]


def test_trades_that_were_left_out_are_asked_for_once_more() -> None:
    client, listener = live(TRADES)
    client.streams.receive(gap(1, 5, "trades"))
    (request,) = client.streams.requests()
    assert (request["action"], request["from"], request["to"], request["epoch"]) == ("resend", 1, 5, "e1")
    client.streams.receive(update(6, "trades"))
    client.streams.receive({"type": "resent", "id": request["id"], "channel": "trades", "data": {"resent": 3}})
    for number in (3, 4, 5):
        client.streams.receive(update(number, "trades"))
    assert listener.numbers == [6, 3, 4, 5]
    assert [(each.first, each.last) for each in listener.gaps] == [(1, 2)]


def test_a_refused_resend_is_a_loss_that_is_told() -> None:
    client, listener = live(TRADES)
    client.streams.receive(gap(1, 5, "trades"))
    (request,) = client.streams.requests()
    assert client.streams.receive(
        {"type": "error", "id": request["id"], "code": "validation_error", "message": "too many"}
    )
    assert [(each.first, each.last) for each in listener.gaps] == [(1, 5)]


def test_a_drop_ends_what_was_to_be_sent_again() -> None:
    client, listener = live(TRADES)
    client.streams.receive(gap(1, 5, "trades"))
    client.streams.requests()
    client.streams.closed()
    assert [(each.first, each.last) for each in listener.gaps] == [(1, 5)]


def test_a_refusal_for_good_is_told_and_one_of_the_moment_is_tried_again() -> None:
    client = Client()
    wrong, away = client.use(Key("quotes", "sim:XXX")), client.use(Key("quotes", "okx:BTC/USDT"))
    (request,) = client.open()
    answer = subscribed(request, errors={"sim:XXX": "unknown_symbol", "okx:BTC/USDT": "exchange_unavailable"})
    client.streams.receive(answer)
    assert (wrong.failures, away.failures) == (["unknown_symbol"], [])
    client.streams.need(away.stream)
    assert client.streams.requests() == []
    client.pass_time()
    (request,) = client.streams.requests()
    assert request["symbols"] == ["okx:BTC/USDT"]
    client.streams.receive({"type": "error", "id": request["id"], "code": "not_authenticated", "message": "who?"})
    assert away.failures == ["not_authenticated"]
    client.streams.need(wrong.stream)
    assert [each["symbols"] for each in client.streams.requests()] == [["sim:XXX"]]


def test_confirmations_are_gathered_and_name_the_newest() -> None:
    client, listener = live(ORDERS)
    for number in (1, 2, 3):
        client.streams.receive(update(number, "orders", prev_sequence=number - 1))
        client.streams.confirm(listener.stream)
    assert client.streams.requests() == []
    client.pass_time()
    assert client.streams.requests() == [{"action": "ack", "channel": "orders", "account_id": 1, "sequence": 3}]


def test_numbers_of_other_strategies_are_no_loss() -> None:
    client, listener = live(ORDERS)
    client.streams.receive(update(5, "orders", prev_sequence=0))
    client.streams.receive(update(9, "orders", prev_sequence=5))
    assert listener.numbers == [5, 9]
    client.streams.receive(update(12, "orders", prev_sequence=11))
    (request,) = client.streams.requests()
    assert request["resume"] == {"1": {"epoch": "e1", "sequence": 9}}


def test_what_happened_before_the_program_came_is_marked_unless_it_wants_it() -> None:
    _, listener = live(ORDERS, sequence=10, replayed=5)
    assert listener.stream.replay_until == 15
    client = Client()
    client.streams.redeliver = True
    listener = client.use(ORDERS)
    (request,) = client.open()
    client.streams.receive(subscribed(request, sequence=10, replayed=5))
    assert listener.stream.replay_until == 0


def test_a_private_stream_that_ended_is_asked_for_with_its_position() -> None:
    client, listener = live(ORDERS)
    client.streams.receive(update(1, "orders", prev_sequence=0))
    details = {"subscription_id": "p1", "channel": "orders", "account_id": 1}
    client.streams.receive({"type": "error", "code": "permission_denied", "message": "changed", "details": details})
    (request,) = client.streams.requests()
    assert request["resume"] == {"1": {"epoch": "e1", "sequence": 1}}
    assert listener.states == [True, False]


def test_a_kept_position_is_gone_on_from() -> None:
    client, _ = live(ORDERS, sequence=4)
    client.streams.leave(ORDERS, is_kept=True)
    client.streams.requests()
    client.use(ORDERS)
    (request,) = client.streams.requests()
    assert request["resume"] == {"1": {"epoch": "e1", "sequence": 4}}


def test_what_is_about_something_else_is_left_to_others() -> None:
    client, _ = live()
    for message in (
        {"type": "connected", "limits": {}},
        {"type": "command_result", "id": "c1", "data": {}},
        {"type": "error", "id": "c1", "code": "rate_limited", "message": "no"},
    ):
        assert not client.streams.receive(message)
    assert client.streams.receive({"type": "unsubscribed", "channel": "quotes"})
