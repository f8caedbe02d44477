"""Who resumes on another process: on real ones, which process has a connection, and what is made of the counts."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import pytest

from loadtest.bench import elsewhere
from loadtest.bench.elsewhere import Elsewhere
from loadtest.streams import Count
from loadtest.swarm import ToolError


def test_a_client_resumes_on_the_other_process_and_misses_nothing() -> None:
    assert elsewhere.measure(2, clients=1, times=2) == Elsewhere(2, 0, 0, 0, watches_of_a_key=1)


def test_a_connection_is_of_the_process_that_has_accepted_it() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port))) as client:
            peer_port = client.getsockname()[1]
            accepted, _ = listening.accept()
            with closing(accepted):
                assert elsewhere.owner(port, peer_port, [os.getpid()]) == os.getpid()
                with pytest.raises(ToolError, match=f"from port {peer_port}"):
                    elsewhere.owner(port, peer_port, [])


def test_what_was_missed_and_what_came_again_are_told_apart() -> None:
    counts = [Count(resumed=3, announced=1, repeated=2), Count(resumed=4, unannounced=5, resynced=6)]
    assert elsewhere.of_counts(counts, 8, 2) == Elsewhere(7, 1, 12, 2, 2)
