"""The Python client of the benchmark: frames, numbers, and a run against a small server with and without TLS."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.bench.tls_client import Seen, Subscriber, frame, main, quantile_ms


def sent(text: str, opcode: int = 1) -> bytes:
    """A frame as a server sends it."""
    payload = text.encode()
    size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + size + payload


def update(number: int, kind: str = "update") -> str:
    return json.dumps({"type": "quote", "kind": kind, "sequence": number, "t_in": 1, "data": "x" * 100},
                      separators=(",", ":"))  # fmt: skip


def taken(*texts: str) -> Seen:
    seen, subscriber = Seen(), Subscriber()
    subscriber.take(b"".join(map(sent, texts)), seen)
    return seen


def test_holes_repetitions_and_gaps_are_told_apart() -> None:
    seen = taken('{"type":"subscribed"}', update(5, "snapshot"), update(6), update(7))
    assert (seen.messages, seen.unannounced, seen.repeated, seen.announced) == (2, 0, 0, 0)
    assert taken(update(1), update(4)).unannounced == 2
    assert taken(update(3), update(3)).repeated == 1
    seen = taken(update(1), '{"type":"gap","from":2,"to":3}', update(4))
    assert (seen.announced, seen.unannounced) == (2, 0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 90), max_size=12))
def test_however_bytes_are_cut_the_same_is_seen(cuts: list[int]) -> None:
    data = b"".join(sent(update(number)) for number in range(1, 6)) + sent("", 9)
    seen, subscriber, pinged = Seen(), Subscriber(), False
    for size in [*cuts, len(data)]:
        piece, data = data[:size], data[size:]
        pinged |= subscriber.take(piece, seen)
    assert (seen.messages, seen.unannounced, subscriber.last, pinged) == (5, 0, 5, True)


def test_quantiles_are_of_what_was_sampled() -> None:
    assert quantile_ms([], 0.5) == 0
    assert quantile_ms([1_000_000, 2_000_000, 9_000_000], 0.5) == 2
    assert quantile_ms([1_000_000, 2_000_000, 9_000_000], 1.0) == 9


def serve(listening: socket.socket, tls: ssl.SSLContext | None) -> None:
    """Two connections: a handshake, a request, and two updates each."""
    held = []
    for _ in range(2):
        sock = listening.accept()[0]
        if tls is not None:
            sock = tls.wrap_socket(sock, server_side=True)
        while not sock.recv(1000).endswith(b"\r\n\r\n"):
            pass
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        held.append(sock)
    for sock in held:
        assert sock.recv(100) == frame(1, b"subscribe")
    for sock in held:
        sock.sendall(sent(update(1)) + sent(update(2)))
    for sock in held:
        sock.recv(1)  # until the client leaves
        sock.close()


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
def test_what_a_server_sends_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str], secured: bool) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=(listening, context if secured else None))
        server.start()
        words = ["--port", str(listening.getsockname()[1]), "--conns", "2", "--pid", str(os.getpid())]
        words += ["--warmup", "0", "--seconds", "0.3", "--message", "subscribe"]
        assert main(words + (["--ca", str(tmp_path / "ca.pem")] if secured else [])) == 0
        server.join()
    figures = json.loads(capsys.readouterr().out)
    assert (figures["alive"], figures["msgs"], figures["min_per_conn"], figures["unannounced"]) == (2, 4, 2, 0)
