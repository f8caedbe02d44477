"""How what many are told looks in the dashboard dialect: prices, portfolios and signals, and its frames.

Holds the templates; a frame is made once for everybody who is told the same. The dialect has no word for a gap: a
message is the whole state, or a signal, and who is too slow for those has missed some. Must not know subscribers,
sockets or the hub.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from _speedups.frame import DATA, OP_PONG, OP_TEXT, TIMESTAMP, Form, Template, encode
from gateway.limits import Limits
from gateway.wire import dashboard
from gateway.wire.forms import Squeeze

# An unsolicited PONG, which a client takes no notice of (RFC 6455 section 5.5.3): a frame that says nothing.
NOTHING: Final = encode(OP_PONG, b"")

PRICES: Final = (b'{"type":"price_update","symbols":', DATA, b',"timestamp":"', TIMESTAMP, b'"}')
PORTFOLIO: Final = (
    b'{"type":"portfolio_update","channel":"portfolio","timestamp":"', TIMESTAMP, b'","data":', DATA, b"}",
)  # fmt: skip


class DashboardForm(Form):
    """One kind of message."""

    def __init__(self, parts: Sequence[bytes | int], squeeze: Squeeze | None) -> None:
        """`parts` are the template's."""
        self._template = Template(parts)
        self._squeeze = squeeze

    def template(self, _topic: Any) -> Template:
        return self._template

    def gap(self, _topic: Any, _epoch: str, _first: int, _last: int, _reason: str, _new_epoch: str | None) -> bytes:
        return b""

    def finish(self, payload: bytes) -> bytes:
        """A message of this dialect as a frame."""
        squeeze = self._squeeze
        if not payload:
            return NOTHING
        if squeeze is None or len(payload) < squeeze.bytes_min:
            return encode(OP_TEXT, payload)
        return encode(OP_TEXT, squeeze.squeeze(payload), squeeze.rsv1)


class SignalForm(DashboardForm):
    """`signal`, of every symbol but some."""

    def __init__(self, squeeze: Squeeze | None, less: frozenset[str] = frozenset()) -> None:
        super().__init__([DATA], squeeze)
        self.less = less

    def but(self, less: frozenset[str]) -> SignalForm:
        """The same without these symbols."""
        return SignalForm(self._squeeze, less)

    def finish(self, payload: bytes) -> bytes:
        """The frame of a signal, as the hub tells of it."""
        if not payload:
            return NOTHING
        symbol, message = dashboard.signal(payload)
        return super().finish(b"" if symbol in self.less else message)


class Set(NamedTuple):
    """The forms of a connection."""

    prices: DashboardForm
    portfolio: DashboardForm
    signals: SignalForm


class DashboardForms:
    """The forms of one process."""

    def __init__(self, limits: Limits, deflate: Callable[[bytes], bytes]) -> None:
        deflated = Squeeze(deflate, limits.deflate_bytes_min, None, rsv1=True)
        self._sets = {False: _made(None), True: _made(deflated)}

    def of(self, *, deflate: bool) -> Set:
        """Those of a connection that did or did not negotiate deflate."""
        return self._sets[deflate]


def _made(squeeze: Squeeze | None) -> Set:
    return Set(DashboardForm(PRICES, squeeze), DashboardForm(PORTFOLIO, squeeze), SignalForm(squeeze))
