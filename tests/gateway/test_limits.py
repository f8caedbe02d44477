"""Limits: defaults, the relations between them, and what clients are told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.limits import Limits


def test_defaults_hold_every_relation() -> None:
    Limits()


def test_published_names_every_limit() -> None:
    limits = Limits(connections_max=5, connections_per_ip_max=5)
    assert set(limits.published()) == set(Limits.__struct_fields__)
    assert limits.published()["connections_max"] == 5


@pytest.mark.parametrize(
    ("changes", "relation"),
    [
        ({"queue_state_bytes": 2_000_000}, "queue_state_bytes <= queue_append_bytes"),
        ({"queue_append_bytes": 2_000_000}, "queue_append_bytes <= queue_bytes_max"),
        ({"heartbeat_s": 100.0}, "heartbeat_s < silence_s"),
        ({"connections_max": 1}, "connections_per_ip_max <= connections_max"),
        ({"ring_depth_updates": 10}, "resend_updates_max <= ring_depth_updates"),
        ({"message_bytes_max": 100}, "125 <= message_bytes_max"),
        ({"slice_sends": 0}, "1 <= slice_sends"),
        ({"urgent_slice_sends": 0}, "1 <= urgent_slice_sends"),
        ({"linger_s": -1.0}, "linger_s: must not be negative"),
    ],
)
def test_a_broken_relation_is_named(changes: dict[str, Any], relation: str) -> None:
    with pytest.raises(ValueError, match=relation):
        Limits(**changes)


@pytest.mark.parametrize(("window", "holds"), [(700, True), (701, False)])
def test_what_waits_in_another_process_and_a_window_have_room_for_several_processes(window: int, holds: bool) -> None:
    limits = Limits(queue_state_bytes=1, queue_append_bytes=300, queue_bytes_max=1_000, link_window_bytes=window)
    assert (limits.link_problem() is None) is holds


def test_a_relation_is_checked_on_what_a_file_says_too() -> None:
    with pytest.raises(msgspec.ValidationError, match="heartbeat_s < silence_s"):
        msgspec.convert({"heartbeat_s": 1000}, Limits)


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="conections_max"):
        msgspec.convert({"conections_max": 1}, Limits)
