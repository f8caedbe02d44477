"""Every limit on what a peer can make the process hold or do, with its unit last and its reason beside it.

Holds numbers and the relations between them. Must not know who enforces one. Published to clients in `connected`.
"""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, cache_hash=True, forbid_unknown_fields=True, kw_only=True):
    """Defaults suit one process on a small machine; `[limits]` of the configuration overrides each."""

    # Connections
    connections_max: int = 20_000  # descriptors and about 10 KiB each
    connections_per_ip_max: int = 20_000  # one desk often sits behind one address; lower it on a public port
    connections_per_user_max: int = 2_000  # over all its keys
    handshakes_per_ip_per_s: float = 500.0  # WebSockets that an address may ask for; one desk, as above
    handshakes_per_ip_burst: int = 20_000  # all of them come back at once after a restart
    http_requests_per_ip_per_s: float = 500.0  # plain HTTP whose sender is not found out; else their key counts
    http_requests_per_ip_burst: int = 2_000
    http_head_bytes_max: int = 16_384  # a browser with cookies stays far below
    http_body_bytes_max: int = 1_048_576  # the largest REST body there is a use for
    handshake_timeout_s: float = 5.0  # a slow-loris head is cut here
    dialect_grace_ms: int = 300  # at /ws: who has said nothing by then is a dashboard, which waits to be told
    close_timeout_s: float = 5.0  # how long a peer may take to echo a CLOSE, or to go when it is refused
    heartbeat_s: float = 30.0  # server pings after this much idle time
    silence_s: float = 90.0  # and gives the peer up (4408) after this much silence
    drain_ms: int = 10_000  # on shutdown: from `server_shutdown` to the last close
    worker_silence_s: float = 10.0  # a worker reports every second; short of CPU it is late, by seconds, yet not hung

    # Messages
    message_bytes_max: int = 65_536  # the largest request is a subscribe with every symbol of a page
    requests_per_s: float = 100.0  # per connection, token bucket
    requests_burst: int = 400  # a client that subscribes one symbol a message at start
    control_frames_per_s: float = 20.0  # pings and pongs of a connection: each ping costs an answer
    control_frames_burst: int = 400  # what has gathered behind a network that stood still
    requests_waiting_bytes_max: int = 262_144  # behind a subscribe that waits for its exchange's markets
    request_ids_bytes_max: int = 128  # `id` is echoed, so it is bounded

    # Subscriptions
    subscriptions_per_connection_max: int = 2_000  # streams, not messages
    symbols_per_request_max: int = 500
    dashboard_symbols_max: int = 500  # whose prices one message may hold: about 60 kB
    streams_max: int = 100_000  # sequences (keys times tiers) over all connections: each has a ring
    published_streams_max: int = 20_000  # the same of signals and news, apart: their symbols need not exist
    book_depth_max: int = 1_000  # what exchanges publish at most
    batch_items_max: int = 1_000  # updates in one batch frame

    # Slow readers: bytes waiting for one socket, beyond the kernel's buffer
    send_buffer_bytes: int = 131_072  # SO_SNDBUF: small, so that a slow reader is noticed
    queue_state_bytes: int = 65_536  # state streams conflate above this
    queue_append_bytes: int = 262_144  # append streams skip and announce above this
    queue_bytes_max: int = 1_048_576  # nothing but one message alone grows above this: close 4008
    # Of one socket of another process, on the way there: what is more waits in the first, which sees how slow it is. It
    # is confirmed within a turn of both loops, so only who is told more at once waits for that. `link_problem` says why
    # it has room there.
    link_window_bytes: int = 65_536

    # Private streams and commands
    private_behind_events_max: int = 10_000  # a reader of now that takes no more: close 4008, nothing is lost
    confirmations_waiting_max: int = 1_000  # of one connection, for the database: close 4008, and they come again
    commands_running_max: int = 32  # of one connection: a venue that hangs must not gather work without end
    commands_running_per_key_max: int = 1_000  # over all its connections and HTTP; a tenth is kept for cancels
    commands_running_per_account_max: int = 5_000  # of all its keys; likewise

    portfolio_symbols_max: int = 200  # of one account: each is a watch; dust beyond it is said to be left out

    # Alerts, armed or triggered, until they are deleted: all are held in memory
    alerts_per_user_max: int = 1_000
    alerts_per_account_max: int = 5_000  # of all its users

    # Signals and news
    publications_waiting_max: int = 1_000  # for the database, of all publishers
    publications_kept_days: int = 30  # how far back they can be asked for, and sent again without being told twice

    # Accounts that are watched
    account_read_timeout_s: float = 10.0  # of one reading of an account: its backend counts as lost after it

    # Subscriptions of connections that ended, for who comes back
    restore_within_s: float = 300.0
    connections_kept_days: float = 30.0  # in the database, with what they were subscribed to
    restorable_bytes_max: int = 33_554_432  # 100 bytes a subscription; the oldest connections are forgotten first

    # Functions of ccxt called for an account; public and private ones count apart
    ccxt_calls_running_max: int = 8  # exchanges answer few requests a second
    ccxt_calls_waiting_max: int = 64  # behind them
    ccxt_guests_running_max: int = 4  # of those without a key: half of all, so that they keep nobody who trades waiting
    ccxt_guests_waiting_max: int = 28  # behind them
    ccxt_call_timeout_s: float = 20.0  # with its waiting; ccxt gives up a request after 10
    ccxt_result_bytes_max: int = 67_108_864  # all markets of a large exchange are half of it

    # Rings
    ring_depth_updates: int = 1_024  # per stream, for resume and resend
    ring_bytes_max: int = 1_048_576  # per stream, whichever comes first
    resend_updates_max: int = 1_024  # in one request
    linger_s: float = 5.0  # a key without subscribers keeps its watch and rings this long

    # Compression
    gzip_bytes_min: int = 1_024  # below, compression gains nothing
    deflate_bytes_min: int = 1_024

    # Fan-out
    flush_max_us: int = 8_000  # frames gather at most this long under load; 0 when idle
    slice_sends: int = 256  # sends before the loop gets a turn: 1 to 1.5 ms, so replies never wait for a whole burst
    urgent_slice_sends: int = 8  # the same while a command is under way, which takes many turns; never more than those

    def __post_init__(self) -> None:
        relations = {
            "queue_state_bytes <= queue_append_bytes": self.queue_state_bytes <= self.queue_append_bytes,
            "queue_append_bytes <= queue_bytes_max": self.queue_append_bytes <= self.queue_bytes_max,
            "2 <= worker_silence_s": self.worker_silence_s >= 2,
            "heartbeat_s < silence_s": self.heartbeat_s < self.silence_s,
            "connections_per_ip_max <= connections_max": self.connections_per_ip_max <= self.connections_max,
            "resend_updates_max <= ring_depth_updates": self.resend_updates_max <= self.ring_depth_updates,
            "125 <= message_bytes_max": self.message_bytes_max >= 125,
            "1 <= slice_sends": self.slice_sends >= 1,
            "1 <= urgent_slice_sends": self.urgent_slice_sends >= 1,
        }
        for relation, holds in relations.items():
            if not holds:
                raise ValueError(f"needs {relation}")
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must not be negative")

    def link_problem(self) -> str | None:
        """What keeps several processes from being served with these, or None.

        The other process confirms while up to `queue_append_bytes` wait for a socket, and a window may follow.
        """
        append, window, most = self.queue_append_bytes, self.link_window_bytes, self.queue_bytes_max
        if append + window <= most:
            return None
        return (
            f"needs queue_append_bytes + link_window_bytes <= queue_bytes_max, and {append} + {window} is more than "
            f"{most}: who only reads slowly would be closed (4008)"
        )

    def published(self) -> dict[str, int | float]:
        """What `connected` tells clients: every limit by name."""
        return msgspec.structs.asdict(self)
