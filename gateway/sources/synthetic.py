"""A source of made quotes at a fixed rate, to load everything behind a source without an exchange in the way.

Holds the pace and the made data. Must not know subscribers, nor ccxt: it is what a benchmark configures as
`class = "synthetic"` with `options = {symbols = 200, rate = 10}`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Protocol

import msgspec

from gateway.core.key import Key
from gateway.errors import TickwireError
from gateway.sources.base import Sink, WatchStatus

KLASS: Final = "synthetic"
TICK_MIN_S: Final = 0.001  # the loop's clock stands still for this long: an earlier alarm would only spin
DATA_BYTES_MAX: Final = 65_536
PADDING: Final = ',"padding":"%s"}'
QUOTE: Final = '{"symbol":"%s","exchange":"%s","bid":%d.%02d,"ask":%d.%02d,"last":%d.%02d,"bid_size":%d.%04d,'
SIZES: Final = '"ask_size":%d.%04d,"volume":%d.%03d}'


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may stand in `options` of a synthetic exchange."""

    symbols: Annotated[int, msgspec.Meta(ge=1)] = 1  # S0/USDT, S1/USDT, ..; a higher number wraps around
    rate: Annotated[float, msgspec.Meta(gt=0)] = 10.0  # updates a second and symbol
    data_bytes: Annotated[int, msgspec.Meta(ge=0, le=DATA_BYTES_MAX)] = 0  # what is shorter gets `padding`


def read_options(options: Mapping[str, Any]) -> Options:
    """The options of a configured exchange, or a TickwireError that says what is wrong with them."""
    try:
        return msgspec.convert(options, Options)
    except msgspec.ValidationError as error:
        raise TickwireError("validation_error", f"options: {error}", details={"setting": "options"}) from None


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """The part of an event loop that the source uses."""

    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], None]) -> Timer: ...


class SyntheticSource:
    """Every symbol ticks at the same rate; their phases are spread evenly, as independent markets are on average."""

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        sink: Sink,
        clock: Clock,
        exact_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`exact_s` is the time of `clock` as it is: uvloop reads it once a turn, in whole milliseconds."""
        self.name = name
        self._exact_s = exact_s
        self._options = read_options(options)
        self._sink = sink
        self._clock = clock
        self._timer: Timer | None = None
        self._keys: list[Key | None] = [None] * self._options.symbols
        self._since_ns: dict[Key, int] = {}
        self._updates: dict[Key, int] = {}
        self._last_ns: dict[Key, int] = {}
        self._step = 0  # over all symbols: step % symbols is the symbol, step // symbols its update
        self._began = 0.0

    async def start(self) -> None:
        """Nothing is needed before the first watch."""

    async def close(self) -> None:
        """No update comes after it."""
        for key in list(self._updates):
            self.release(key)

    answers_at_once: Final = True

    async def resolve(self, channel: str, symbol: str, variant: str) -> Key:
        return self.known(channel, symbol, variant)

    def known(self, channel: str, symbol: str, variant: str) -> Key:
        """`S<n>/USDT`; numbers wrap around, so that a client may spread connections over symbols by their index."""
        if channel != "quotes":
            raise TickwireError("unsupported_channel", f"{self.name} has quotes only")
        number = symbol.removeprefix("S").removesuffix("/USDT")
        if symbol != f"S{number}/USDT" or not (number.isascii() and number.isdigit()):
            raise TickwireError("unknown_symbol", f"{self.name} has S0/USDT to S{self._options.symbols - 1}/USDT")
        return Key(self.name, channel, f"S{int(number) % self._options.symbols}/USDT", variant)

    def acquire(self, key: Key) -> None:
        """From now on the key ticks."""
        self._keys[_number(key)] = key
        self._since_ns[key] = time.time_ns()
        self._updates[key] = 0
        if self._timer is None:
            self._began = self._exact_s()
            self._step = 0
            self._tick()

    def release(self, key: Key) -> None:
        """The key ticks no more; the last one out stops the clock."""
        self._keys[_number(key)] = None
        for of_key in (self._since_ns, self._updates, self._last_ns):
            of_key.pop(key, None)
        if not self._updates and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def status(self) -> list[WatchStatus]:
        """A made market never fails: live from its first update."""
        return [
            WatchStatus(
                key=key,
                state="live" if updates else "starting",
                since_ns=self._since_ns[key],
                last_update_ns=self._last_ns.get(key),
                updates=updates,
                errors=0,
                restarts=0,
            )
            for key, updates in self._updates.items()
        ]

    def _tick(self) -> None:
        """Publish all that is due by now, late ones too: an overloaded server must show, not slow its market down."""
        now, now_ns = self._exact_s(), time.time_ns()
        while (due := self._due(self._step)) <= now:
            key = self._keys[self._step % self._options.symbols]
            self._step += 1
            if key is not None:
                self._publish(key, now_ns - int((now - due) * 1e9))
        self._timer = self._clock.call_at(max(self._due(self._step), self._clock.time() + TICK_MIN_S), self._tick)

    def _due(self, step: int) -> float:
        return self._began + step / (self._options.rate * self._options.symbols)

    def _publish(self, key: Key, due_ns: int) -> None:
        """It is stamped with when it was due, not with when we came to it: our own delays are part of the latency."""
        count = self._updates[key]
        self._updates[key] = count + 1
        self._last_ns[key] = due_ns
        made = padded(quote(key, count), self._options.data_bytes)
        self._sink.publish(key, made, t_ex=due_ns // 1_000_000, t_in=due_ns)


def _number(key: Key) -> int:
    return int(key.symbol[1:].partition("/")[0])


def quote(key: Key, count: int) -> bytes:
    """The count-th quote of a symbol: figures of a liquid market that change with every update."""
    cents = 6_183_701 + _number(key) * 100 + count * 37 % 5_000
    bid, ask = divmod(cents, 100), divmod(cents + 1, 100)
    sizes = divmod(10_000 + count * 7_919 % 90_000, 10_000), divmod(10_000 + count * 6_131 % 90_000, 10_000)
    volume = 18_000 + count // 1_000, count % 1_000
    return ((QUOTE + SIZES) % (key.symbol, key.exchange, *bid, *ask, *bid, *sizes[0], *sizes[1], *volume)).encode()


def padded(data: bytes, data_bytes: int) -> bytes:
    """The same object with a field `padding` so that it has `data_bytes`, where it is shorter by at least the field."""
    room = data_bytes - len(data) - len(PADDING % "") + 1
    return data if room < 0 else data[:-1] + (PADDING % ("x" * room)).encode()
