"""How many sockets there are, and how often each address begins one.

Holds the counts by address and what is refused because of them. Pure: the time is passed in. Must not know a socket,
nor how an address is found out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from gateway.net.addresses import counted
from gateway.net.bucket import TokenBucket
from gateway.net.head import Refusal

if TYPE_CHECKING:
    from gateway.limits import Limits

SPARE_SOCKETS: Final = 1_024  # beyond `connections_max`: heads being read, HTTP
SPARE_SOCKETS_PER_IP: Final = 256  # beyond `connections_per_ip_max`: the same of one address
REFUSED_MAX: Final = 1_024  # that are waited for until they have read why; beyond, they are closed with it
REFUSED_PER_IP_MAX: Final = 256  # the same of one address
REMEMBERED_MAX: Final = 65_536  # addresses whose rate is known; beyond, whoever was quiet the longest is forgotten
RETRY_AFTER_MS: Final = 1_000
RETRY_AFTER_S_MAX: Final = 3600.0


class Handshakes:
    """How often each address may begin."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._buckets: dict[str, TokenBucket] = {}  # the one used last is last

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now_s: float) -> float:
        """0, or how many seconds it is until this one may."""
        bucket = self._buckets.pop(address, None)
        if bucket is None:
            bucket = TokenBucket(self._rate_per_s, self._burst, now_s)
            if len(self._buckets) >= REMEMBERED_MAX:
                del self._buckets[next(iter(self._buckets))]
        self._buckets[address] = bucket
        return bucket.take(now_s)

    def give_back(self, address: str) -> None:
        """What was taken last does not count."""
        if address in self._buckets:
            self._buckets[address].charge(-1)


class Admission:
    """The sockets of a listener. An address is counted as `counted` says; None is one that is not known yet."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._per_ip: Counter[str] = Counter()  # WebSockets, and what may become one
        self._http_per_ip: Counter[str] = Counter()
        self._refused_per_ip: Counter[str] = Counter()
        self._upgrades = Handshakes(limits.handshakes_per_ip_per_s, limits.handshakes_per_ip_burst)
        self._requests = Handshakes(limits.http_requests_per_ip_per_s, limits.http_requests_per_ip_burst)
        self._known_requests = Handshakes(limits.http_requests_per_ip_per_s, limits.http_requests_per_ip_burst)
        # Apart: who is told to come later has shaken hands under TLS to hear it.
        self._secured = Handshakes(2 * limits.handshakes_per_ip_per_s, 2 * limits.handshakes_per_ip_burst)

    @property
    def addresses(self) -> int:
        """Addresses that hold a socket."""
        return len(self._per_ip | self._http_per_ip | self._refused_per_ip)

    def has_room(self, sockets: int, address: str | None) -> bool:
        """Whether one more is even read, where there are so many that are not refused."""
        limits = self._limits
        if sockets >= limits.connections_max + SPARE_SOCKETS:
            return False
        return address is None or self.held(address) < limits.connections_per_ip_max + SPARE_SOCKETS_PER_IP

    def held(self, address: str) -> int:
        """How many sockets of this address take a place."""
        return self._per_ip[counted(address)] + self._http_per_ip[counted(address)]

    def enter(self, address: str | None) -> None:
        """A socket of this address is there."""
        _add(self._per_ip, address)

    def leave(self, address: str | None) -> None:
        """It is gone."""
        _take(self._per_ip, address)

    def enter_http(self, address: str | None) -> None:
        """It speaks HTTP."""
        _take(self._per_ip, address)
        _add(self._http_per_ip, address)

    def return_from_http(self, address: str | None) -> None:
        """It asks for a WebSocket after all."""
        _take(self._http_per_ip, address)
        _add(self._per_ip, address)

    def leave_http(self, address: str | None) -> None:
        """One that spoke HTTP is gone."""
        _take(self._http_per_ip, address)

    def refuse(self, address: str | None, refused: int) -> bool:
        """One that was there is refused, and takes no place any more; `refused`: how many others stay that are.

        False: they are so many that this one is not to stay.
        """
        _take(self._per_ip, address)
        stays = refused < REFUSED_MAX and (
            address is None or self._refused_per_ip[counted(address)] < REFUSED_PER_IP_MAX
        )
        _add(self._refused_per_ip, address)
        return stays

    def leave_refused(self, address: str | None) -> None:
        """One that was refused is gone."""
        _take(self._refused_per_ip, address)

    def secures(self, address: str | None, now_s: float) -> bool:
        """Whether this one may begin TLS, which costs us more than it."""
        return address is None or not self._secured.take(counted(address), now_s)

    def ask(self, address: str, now_s: float) -> Refusal | None:
        """Count a request of plain HTTP; why this is one too many, unless it is of somebody whose own are counted."""
        wait_s = self._requests.take(counted(address), now_s)
        return _too_often("too many requests of this address without credentials", wait_s) if wait_s else None

    def ask_known(self, address: str, now_s: float) -> Refusal | None:
        """The same for who has shown credentials that are good, when the address's own rate is used up."""
        wait_s = self._known_requests.take(counted(address), now_s)
        return _too_often("too many requests of this address that need no credentials", wait_s) if wait_s else None

    def identified(self, address: str, *, known: bool) -> None:
        """A request that was let in is counted by the rate of its key instead; `known`: by `ask_known`, not `ask`."""
        (self._known_requests if known else self._requests).give_back(counted(address))

    def upgrade(self, address: str, connections: int, now_s: float) -> Refusal | None:
        """Why this one, which is there already, gets no WebSocket; `connections`: how many there are."""
        limits = self._limits
        key = counted(address)
        if wait_s := self._upgrades.take(key, now_s):
            return _too_often("this address connects too often", wait_s)
        if connections >= limits.connections_max:
            message = f"the server holds its {limits.connections_max} connections"
        elif self._per_ip[key] > limits.connections_per_ip_max:
            message = f"this address holds its {limits.connections_per_ip_max} connections"
        else:
            return None
        return Refusal(429, "too_many_connections", message, retry_after_ms=RETRY_AFTER_MS)


def _too_often(message: str, wait_s: float) -> Refusal:
    wait_ms = max(1, int(min(wait_s, RETRY_AFTER_S_MAX) * 1000))
    return Refusal(429, "rate_limited", message, retry_after_ms=wait_ms)


def _add(counts: Counter[str], address: str | None) -> None:
    if address is not None:
        counts[counted(address)] += 1


def _take(counts: Counter[str], address: str | None) -> None:
    if address is None:
        return
    key = counted(address)
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
