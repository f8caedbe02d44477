"""What accounts tell a connection of the oms dialect: what is open when it asks, and each committed event from then on.

Holds who may listen to what by now. Nothing is confirmed in this dialect, and nothing resumed: who comes back asks for
a snapshot. Must not know where events are kept, nor how a message looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import TickwireError
from gateway.net.private_stream import Follower, told
from gateway.wire import oms
from gateway.wire.oms_forms import MarketForm, OmsForms, private_event

if TYPE_CHECKING:
    from gateway.core.private import Page, View
    from gateway.limits import Limits
    from gateway.net.connection import Connection
    from gateway.net.private import PrivateService

CHANNELS: Final = ("orders", "positions", "deals")
WITH_STATE: Final = ("orders", "positions")


class OmsStream(Follower):
    """One channel of one account."""

    def __init__(
        self,
        conn: Connection,
        view: View,
        at: int,
        limits: Limits,
        on_failed: Callable[[TickwireError], None],
        channel: str,
        form: MarketForm,
    ) -> None:
        super().__init__(conn, view, at, limits, on_failed, channel)
        self._channel = channel
        self._form = form

    def opening(self) -> list[bytes]:
        """What is open was told with the answer."""
        return []

    def frames(self, page: Page) -> list[bytes]:
        frames: list[bytes] = []
        for event in page.events:
            before = self._sent if self.view.is_partial else None
            frames.append(self._form.finish(private_event(self._channel, self.view.epoch, event, before)))
            self._sent = event.channel_sequence
        self._at = page.upto
        return frames


class OmsPrivate:
    """The accounts that one connection listens to."""

    def __init__(self, service: PrivateService, forms: OmsForms, conn: Connection) -> None:
        self._service = service
        self._forms = forms
        self._conn = conn
        self._streams: dict[int, list[OmsStream]] = {}  # by account
        conn.on_writable = self._on_writable

    def __len__(self) -> int:
        return sum(map(len, self._streams.values()))

    async def subscribe(self, request: oms.Subscribe, principal_of: Callable[[], Any]) -> None:
        """Answer, with what is open where it was asked for, and begin. Raises TickwireError: nothing has changed."""
        asked = list(dict.fromkeys(request.payload.account_ids))
        streams_max = self._service.limits.subscriptions_per_connection_max
        if len({*self._streams, *asked}) * len(CHANNELS) > streams_max:
            raise TickwireError("too_many_subscriptions", "this connection has as many streams as it may have")
        states: list[bytes] = []
        opened = {each: await self._open(request, each, principal_of, states) for each in asked}
        if not self._conn.is_open:
            return
        for account_id, streams in opened.items():
            if not _may_see(principal_of(), streams):  # what the key may see has changed meanwhile
                raise _denied(account_id)
        self._conn.send(oms.subscribed(request, asked))
        for message in states:
            self._conn.send(message)
        if request.payload.with_snapshot:
            self._conn.send(oms.snapshot_done(request, asked))
        for account_id, streams in opened.items():
            self._stop(account_id)
            self._streams[account_id] = streams
            for each in streams:
                each.begin()

    async def _open(
        self, request: oms.Subscribe, account_id: int, principal_of: Callable[[], Any], states: list[bytes]
    ) -> list[OmsStream]:
        """The streams of an account, behind what is open by now; that is added to `states` where it was asked for."""
        streams: list[OmsStream] = []
        for channel in CHANNELS:
            view = await self._view(principal_of(), account_id, channel)
            at = view.newest
            if request.payload.with_snapshot and channel in WITH_STATE:
                state = await told(view.snapshot())
                assert state.items is not None, "what has a state tells it"
                at = state.sequence
                states.append(oms.snapshot(request, channel, account_id, state.items))
            streams.append(self._stream(view, at, account_id, channel))
        return streams

    async def _view(self, principal: Any, account_id: int, channel: str) -> View:
        try:
            return await told(self._service.accounts.outbox.open(principal, account_id, channel))
        except TickwireError as error:
            if error.code == "account_not_found":  # to who has nothing to do with it, it is not there
                raise _denied(account_id) from None
            raise

    def _stream(self, view: View, at: int, account_id: int, channel: str) -> OmsStream:
        form = self._forms.of(account_id, deflate=self._conn.deflate)
        limits = self._service.limits
        return OmsStream(self._conn, view, at, limits, lambda error: self._failed(account_id, error), channel, form)

    def unsubscribe(self, request: oms.Unsubscribe) -> bytes:
        """The reply: of how many accounts nothing more is told."""
        gone = [each for each in dict.fromkeys(request.payload.account_ids) if each in self._streams]
        for account_id in gone:
            self._stop(account_id)
        return oms.unsubscribed(request, len(gone))

    def changed(self, principal: Any) -> None:
        """The key may do other things by now: end what it may no longer see, or not as it is."""
        for account_id, streams in list(self._streams.items()):
            if not _may_see(principal, streams):
                self._failed(account_id, _denied(account_id))

    def close(self) -> None:
        """The connection is gone."""
        for account_id in list(self._streams):
            self._stop(account_id)

    def _stop(self, account_id: int) -> None:
        for each in self._streams.pop(account_id, ()):
            each.end()

    def _failed(self, account_id: int, error: TickwireError) -> None:
        """End an account's streams, and say so."""
        self._stop(account_id)
        self._service.errors[error.code] += 1
        said = TickwireError(
            error.code, error.message, details={**(error.details or {}), "account_id": account_id},
            retry_after_ms=error.retry_after_ms,
        )  # fmt: skip
        self._conn.send(oms.ended(said, oms.POSITION, f"{self._conn.id}-p{account_id}"))

    def _on_writable(self) -> None:
        for streams in self._streams.values():
            for each in streams:
                each.wake()


def _may_see(principal: Any, streams: list[OmsStream]) -> bool:
    """Still this, and no more and no less than this."""
    return principal is not None and all(each.view.is_for(principal) for each in streams)


def _denied(account_id: int) -> TickwireError:
    text = "this API key may not read this account"
    return TickwireError("permission_denied", text, details={"account_id": account_id})
