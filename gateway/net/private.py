"""Private streams and commands of one connection: what of an account is told to it, and what it has done.

Holds who may listen to what by now, confirmations on their way, and the commands that are running. Must not know how a
command is carried out, where events are kept, or how a message looks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from gateway.core.key import CONFIRMED_CHANNELS
from gateway.core.private import Accounts, refusing
from gateway.errors import TickwireError
from gateway.net.private_stream import PrivateStream, find_start, told
from gateway.net.running import Running
from gateway.wire import private, stream
from gateway.wire.codec import RequestId
from gateway.wire.signed import signature_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from gateway.limits import Limits
    from gateway.net.connection import Connection
    from gateway.wire.forms import Forms

log = structlog.get_logger(__name__)


class PrivateService:
    """What the private streams of one process share. Commands run on here when their connection has gone."""

    def __init__(
        self,
        accounts: Accounts,
        forms: Forms,
        limits: Limits,
        errors: Counter[str],
        urge: Callable[[int], None] = lambda more: None,
    ) -> None:
        """`urge`: one more waits for the answer to a command, which takes many turns of the loop, or one less."""
        self.accounts = accounts
        self.forms = forms
        self.limits = limits
        self.errors = errors
        self.urge = urge
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Do it whatever becomes of the connection."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, timeout_s: float) -> bool:
        """Let running commands and confirmations end; False when that takes too long."""
        if not self._tasks:
            return True
        _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
        return not late


class Slot(NamedTuple):
    """What makes two private streams of a connection different."""

    channel: str
    account_id: int


class PrivateSession:
    """The part of a session that is about accounts; made when first asked for."""

    def __init__(self, service: PrivateService, conn: Connection) -> None:
        self._service = service
        self._conn = conn
        self._streams: dict[Slot, PrivateStream] = {}
        self._requests = 0
        self._running = Running(service)
        self._acks: dict[Slot, list[_Confirmation]] = {}
        self._acks_waiting = 0
        self._is_acking = False
        conn.on_writable = self._on_writable

    def __len__(self) -> int:
        return len(self._streams)

    def answer(self, request: stream.Request, principal: Any, request_id: str) -> bytes | None:
        """The reply; None where it comes when something is done. Raises TickwireError."""
        match request:
            case stream.Unsubscribe():
                return self._unsubscribe(request)
            case stream.Command():
                self._command(request, principal, request_id)
            case stream.Publish():
                self._publish(request, principal, request_id)
            case stream.Ack():
                self._ack(request, principal, request_id)
            case _:
                raise AssertionError(f"{type(request).__name__} is not about accounts, or waits")
        return None

    def listed(self) -> list[private.Listed]:
        """Every stream, in the order of subscription."""
        return [each.listed for each in self._streams.values()]

    def kept(self) -> list[stream.Subscribe]:
        """The requests that begin each stream again: behind what was confirmed, unless the client says where it is."""
        return [
            msgspec.convert(
                {
                    "action": "subscribe", "channel": each.channel, "account_ids": [each.account_id],
                    "encoding": each.encoding, "compression": each.compression, "sign": each.sign is True,
                },
                stream.Subscribe,
            )
            for each in self.listed()
        ]  # fmt: skip

    async def subscribe(self, request: stream.Subscribe, principal_of: Callable[[], Any]) -> None:
        """Answer, and begin what was asked for: everything else leaves behind the answer."""
        self._requests += 1
        subscription_id = f"p{self._requests}"
        errors: dict[int, str] = {}
        begun: dict[int, PrivateStream] = {}
        for account_id in dict.fromkeys(request.account_ids):
            try:
                self._count(Slot(request.channel, each) for each in (*begun, account_id))
                begun[account_id] = await self._open(request, account_id, principal_of(), subscription_id)
            except TickwireError as error:
                errors[account_id] = error.code
                self._service.errors[error.code] += 1
        if not self._conn.is_open:
            return
        for account_id, each in list(begun.items()):
            if not each.view.is_for(principal_of()):  # what the key may see has changed since it was opened
                errors[account_id] = "permission_denied"
                del begun[account_id]
        states = {account_id: each.start.state for account_id, each in begun.items()}
        self._conn.send(private.subscribed(request, subscription_id, states, errors))
        for account_id, each in begun.items():
            slot = Slot(request.channel, account_id)
            self._stop(slot)
            self._streams[slot] = each
            each.begin()

    def _count(self, more: Iterable[Slot]) -> None:
        """Raises TickwireError when these would be too many."""
        if len({*self._streams, *more}) > self._service.limits.subscriptions_per_connection_max:
            raise TickwireError("too_many_subscriptions", "this connection has as many streams as it may have")

    async def _open(
        self, request: stream.Subscribe, account_id: int, principal: Any, subscription_id: str
    ) -> PrivateStream:
        limits = self._service.limits
        slot = Slot(request.channel, account_id)
        streams = self._service.accounts.outbox
        view = await told(streams.open(principal, account_id, request.channel))
        position = request.resume.get(str(account_id))
        confirmed = None if position else await told(streams.acked(principal, account_id, request.channel))
        start = await find_start(view, position, confirmed, wants_state=request.snapshot)
        if position is None and confirmed is None:  # from here on, what is not confirmed comes again
            await told(streams.ack(principal, account_id, request.channel, start.state.sequence))
        sign = self._signer(principal) if request.sign else None
        form = self._service.forms.of(request.encoding, request.compression, deflate=self._conn.deflate)
        return PrivateStream(
            self._conn,
            view,
            private.Framer(form, request.channel, account_id, sign),
            private.Listed(
                subscription_id,
                request.channel,
                account_id,
                request.encoding,
                request.compression,
                sign=request.sign,
            ),
            start,
            limits,
            lambda error: self._failed(slot, error),
        )

    def _signer(self, principal: Any) -> Callable[[bytes], str]:
        """Raises TickwireError for a key that cannot sign."""
        with refusing():
            return self._service.accounts.signer(principal, self._conn.id)

    def _unsubscribe(self, request: stream.Unsubscribe) -> bytes:
        """The reply; an account that is not subscribed is named in its errors."""
        mine = [slot.account_id for slot in self._streams if slot.channel == request.channel]
        asked = mine if request.account_ids is None else list(dict.fromkeys(request.account_ids))
        errors = {account_id: "account_not_found" for account_id in asked if account_id not in mine}
        left = [account_id for account_id in asked if account_id in mine]
        for account_id in left:
            self._stop(Slot(request.channel, account_id))
        return private.unsubscribed(request, left, errors)

    def changed(self, principal: Any) -> None:
        """The key may do other things by now: end what it may no longer see, or not as it is."""
        for slot, each in list(self._streams.items()):
            if not each.view.is_for(principal):
                text = "what this key may see of the account has changed: subscribe again to what is left"
                self._failed(slot, TickwireError("permission_denied", text))

    def close(self) -> None:
        """The connection is gone. Commands run on, and what was confirmed stays so."""
        for slot in list(self._streams):
            self._stop(slot)

    def _stop(self, slot: Slot) -> None:
        each = self._streams.pop(slot, None)
        if each is not None:
            each.end()

    def _failed(self, slot: Slot, error: TickwireError) -> None:
        """End a stream, and say so."""
        listed = self._streams[slot].listed
        self._stop(slot)
        self._service.errors[error.code] += 1
        self._conn.send(private.ended(error, listed, f"{self._conn.id}-{listed.subscription_id}"))

    def _on_writable(self) -> None:
        for each in self._streams.values():
            each.wake()

    # --- confirmations ------------------------------------------------------------------------------------------

    def _ack(self, request: stream.Ack, principal: Any, request_id: str) -> None:
        """Keep a confirmation; while one is being written the newest of those that come is the next.

        Who confirms faster than that for long is closed, as one who reads too slowly is: nothing is lost, what was not
        confirmed comes again.
        """
        if request.channel not in CONFIRMED_CHANNELS:
            details = {"channels": list(CONFIRMED_CHANNELS)}
            raise TickwireError("unsupported_channel", "no channel that is confirmed", details=details)
        if self._acks_waiting >= self._service.limits.confirmations_waiting_max:
            self._conn.on_overflow()
            return
        self._acks_waiting += 1
        slot = Slot(request.channel, request.account_id)
        self._acks.setdefault(slot, []).append(_Confirmation(request, principal, request_id))
        if not self._is_acking:
            self._is_acking = True
            self._service.spawn(self._confirm(), "confirmations")

    async def _confirm(self) -> None:
        """Until none waits. Of those that name the same stream the highest right one says all."""
        while self._acks:
            _, waiting = self._acks.popitem()
            is_kept = False
            for each in sorted(waiting, key=lambda one: one.request.sequence, reverse=True):
                try:
                    is_kept = is_kept or await self._keep(each)
                except TickwireError as error:
                    self._refuse(error, each.request.id, each.request_id)
                except Exception:
                    self._crashed("confirmation failed", each.request.id, each.request_id)
                else:
                    if each.request.id is not None:
                        self._conn.send(private.acked(each.request))
                self._acks_waiting -= 1
        self._is_acking = False

    async def _keep(self, each: _Confirmation) -> bool:
        request = each.request
        outbox = self._service.accounts.outbox
        await told(outbox.ack(each.principal, request.account_id, request.channel, request.sequence))
        return True

    # --- commands -----------------------------------------------------------------------------------------------

    def _command(self, request: stream.Command, principal: Any, request_id: str) -> None:
        """Have it done. The answer comes when it is, and other requests do not wait for that."""

        payload = request.signed if isinstance(request, stream.SignedCommand) else b""
        signature = signature_of(request, payload, self._conn.id)

        async def work() -> None:
            accounts = self._service.accounts
            results = await told(accounts.execute(principal, request.payload, signature=signature))
            self._conn.send(private.command_result(request, results))

        def refuse(error: TickwireError) -> None:
            self._refuse(error, request.id, request_id)

        self._running.begin(work, request_id, refuse, self._service.urge)

    def _publish(self, request: stream.Publish, principal: Any, request_id: str) -> None:
        """Have it kept and told, whatever becomes of the connection."""

        async def work() -> None:
            accepted = await told(self._service.accounts.publish(principal, request.channel, bytes(request.data)))
            self._conn.send(private.published(request, accepted))

        self._running.begin(work, request_id, lambda error: self._refuse(error, request.id, request_id))

    def _refuse(self, error: TickwireError, echoed: RequestId | None, request_id: str) -> None:
        self._service.errors[error.code] += 1
        self._conn.send(stream.error(error, echoed, request_id))

    def _crashed(self, what: str, echoed: RequestId | None, request_id: str) -> None:
        log.exception(what, request_id=request_id)
        self._refuse(TickwireError("internal_error", "the server failed on this request"), echoed, request_id)


class _Confirmation(NamedTuple):
    """An `ack` on its way to the table."""

    request: stream.Ack
    principal: Any
    request_id: str
