"""Many subscribers over TLS in one process: `python -m loadtest.bench.tls_client`, for what the C clients cannot speak.

Each connection has one stream, whose numbers are checked. Prints one line of JSON, with the names that the swarm uses.
Holds the client's side of the wire only. Must not know workloads, nor how the server works.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.bench.machine import rss_kib

READ_BYTES = 65_536
SAMPLED_EVERY = 8  # messages: looking at the stamp of each would be most of the client's work
CONNECT_TIMEOUT_S = 10.0
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass
class Seen:
    """What all connections have seen since the measurement began."""

    messages: int = 0
    bytes: int = 0
    announced: int = 0
    unannounced: int = 0
    repeated: int = 0
    latencies_ns: list[int] = field(default_factory=list)


class Subscriber:
    """One connection: frames in, numbers checked."""

    def __init__(self) -> None:
        self.messages = 0
        self.last = 0  # the newest number; 0: none yet
        self._rest = b""

    def take(self, data: bytes, seen: Seen | None) -> bool:
        """Read what has come, and count it in `seen`; True when a ping wants its answer."""
        if self._rest:
            data = self._rest + data
        at, pinged = 0, False
        while len(data) - at >= 2:
            size, head = data[at + 1] & 0x7F, 2
            if size >= 126:
                head = 4 if size == 126 else 10
                size = int.from_bytes(data[at + 2 : at + head])
            if len(data) < at + head + size:
                break
            opcode, at = data[at] & 0x0F, at + head
            if opcode == 1:
                self._on_text(data, at, at + size, seen)
            pinged |= opcode == 9
            at += size
        self._rest = data[at:]
        return pinged

    def _on_text(self, data: bytes, start: int, end: int, seen: Seen | None) -> None:
        if data.startswith(b'{"type":"gap"', start):
            first, last = _number(data, b'"from":', start, end), _number(data, b'"to":', start, end)
            if seen is not None:
                seen.announced += last - first + 1
            self.last = last
            return
        number = _number(data, b'"sequence":', start, end)
        if not number:
            return  # a reply
        expected, self.last = self.last + 1, number
        if seen is None or data.find(b'"kind":"snapshot"', start, end) >= 0:
            return
        self.messages += 1
        seen.messages += 1
        seen.bytes += end - start
        if expected > 1 and number != expected:
            seen.unannounced += max(0, number - expected)
            seen.repeated += number < expected
        if seen.messages % SAMPLED_EVERY == 0:
            seen.latencies_ns.append(time.time_ns() - _number(data, b'"t_in":', start, end))


def _number(data: bytes, name: bytes, start: int, end: int) -> int:
    """The value of a field; 0 without it."""
    at = data.find(name, start, end)
    if at < 0:
        return 0
    at += len(name)
    stop = at
    while stop < end and 48 <= data[stop] <= 57:
        stop += 1
    return int(data[at:stop] or b"0")


def frame(opcode: int, payload: bytes) -> bytes:
    """A short frame of a client; its mask is zero, which is a valid one."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


def dial(port: int, path: str, tls: ssl.SSLContext | None) -> socket.socket:
    """A WebSocket; what follows the handshake is left unread."""
    sock = socket.create_connection(("127.0.0.1", port), CONNECT_TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a request waits 40 ms behind its handshake
    if tls is not None:
        sock = tls.wrap_socket(sock, server_hostname="localhost")
    sock.sendall(HANDSHAKE.format(path=path).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        one = sock.recv(1)  # byte by byte: nothing of the first frame is read with it
        if not one:
            raise OSError(f"refused: {head[:200]!r}")
        head += one
    if not head.startswith(b"HTTP/1.1 101 "):
        raise OSError(f"refused: {head[:200]!r}")
    sock.setblocking(False)
    return sock


def read(sock: socket.socket, subscriber: Subscriber, seen: Seen | None) -> bool:
    """All that is there; False when the connection has ended."""
    while True:
        try:
            data = sock.recv(READ_BYTES)
        except (ssl.SSLWantReadError, BlockingIOError):
            return True
        except OSError:
            return False
        if not data:
            return False
        if subscriber.take(data, seen):
            sock.send(frame(10, b""))
        if not isinstance(sock, ssl.SSLSocket) or not sock.pending():
            return True


def follow(peers: dict[int, tuple[socket.socket, Subscriber]], seconds: float, seen: Seen | None) -> None:
    """Read for so long; who is gone is taken out of `peers`."""
    with select.epoll() as poller:
        for number in peers:
            poller.register(number, select.EPOLLIN)
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            for number, _ in poller.poll(left_s):
                if not read(*peers[number], seen):
                    poller.unregister(number)
                    peers.pop(number)[0].close()


def cpu_s(pid: int) -> float:
    """What a process has used of a core so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile_ms(sorted_ns: list[int], share: float) -> float:
    return sorted_ns[min(len(sorted_ns) - 1, int(share * len(sorted_ns)))] / 1e6 if sorted_ns else 0.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.tls_client")
    for name, kind in (("port", int), ("conns", int), ("pid", int), ("warmup", float), ("seconds", float)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--path", default="/v1/stream")
    parser.add_argument("--message", required=True, help="what each connection asks for")
    parser.add_argument("--ca", help="file of the authority that is believed; without it there is no TLS")
    asked = parser.parse_args(arguments)
    tls = ssl.create_default_context(cafile=asked.ca) if asked.ca else None
    begun_s = time.monotonic()
    peers: dict[int, tuple[socket.socket, Subscriber]] = {}
    for _ in range(asked.conns):
        sock = dial(asked.port, asked.path, tls)
        peers[sock.fileno()] = sock, Subscriber()
    connect_s = time.monotonic() - begun_s
    for sock, _ in peers.values():
        sock.sendall(frame(1, asked.message.encode()))  # not before: updates would pile up while others shake hands
    all_of_them = [subscriber for _, subscriber in peers.values()]
    follow(peers, asked.warmup, None)
    seen = Seen()
    server_s, client_s, begun_s = cpu_s(asked.pid), time.process_time(), time.monotonic()
    follow(peers, asked.seconds, seen)
    took_s = time.monotonic() - begun_s
    server_s, client_s = cpu_s(asked.pid) - server_s, time.process_time() - client_s
    latencies = sorted(seen.latencies_ns)
    quantiles = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}
    figures = {
        "alive": len(peers), "connect_s": connect_s, "msgs": seen.messages, "bytes": seen.bytes,
        "msg_s": seen.messages / took_s, **{name: quantile_ms(latencies, share) for name, share in quantiles.items()},
        "server_us_per_msg": server_s / max(1, seen.messages) * 1e6, "server_cpu": server_s / took_s,
        "client_cpu": client_s / took_s, "server_rss_kB": rss_kib(asked.pid),
        "min_per_conn": min(each.messages for each in all_of_them),
        "max_per_conn": max(each.messages for each in all_of_them),
        "announced": seen.announced, "unannounced": seen.unannounced, "repeated": seen.repeated,
    }  # fmt: skip
    sys.stdout.write(json.dumps(figures) + "\n")
    for sock, _ in peers.values():
        sock.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
