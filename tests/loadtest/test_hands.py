"""What subscribers of a mix are dealt, and how counts of messages become counts of channels."""

from __future__ import annotations

import json

from loadtest import hands


def test_each_hand_has_as_many_requests() -> None:
    assert {len(hand) for hand in hands.HANDS} == {hands.SIZE}
    asked = [json.loads(message) for message in hands.messages("A/B")]
    assert [each["channel"] for each in asked] == [each.channel for hand in hands.HANDS for each in hand]
    assert {each["symbols"][0] for each in asked} == {"A/B"}
    assert [each.get("throttle_ms", 0) for each in asked] == [each.throttle_ms for each in hands.IN_TURN]


def test_a_hand_has_one_subscription_to_a_channel() -> None:
    assert all(len({each.channel for each in hand}) == len(hand) for hand in hands.HANDS)


def test_books_and_throttled_streams_are_among_them() -> None:
    assert hands.CHANNELS == ("quotes", "trades", "book")
    assert set(hands.NAMES) == {"quotes", "trades", "book", "throttled_quotes", "throttled_trades"}


def test_what_is_asked_for_by_several_messages_is_summed() -> None:
    read = {f"msgs_of_{number}": 10.0**number for number in range(len(hands.IN_TURN))}
    summed = hands.by_name(read, "msgs")
    assert summed["quotes"] == 101
    assert sum(summed.values()) == sum(read.values())
