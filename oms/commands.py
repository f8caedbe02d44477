"""Bodies of `POST /oms/commands` and what they mean: typed commands, one spelling each, with a hash of what is asked.

Pure: bytes or decoded JSON in, values out, or a refusal that names the field. Must not know who asks, what exists, or
whether it may be done.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from oms.errors import OmsError
from oms.model import OrderType, Side, TimeInForce

BATCH_MAX: Final = 100  # commands of one body
PARAMS_BYTES_MAX: Final = 4096
DIGITS_MAX: Final = 18  # on either side of the point: numeric(36,18)
INTEGERS: Final = range(-(2**63), 2**64)  # of `params`: what is stored and sent takes no others
EXPIRES_FROM: Final = datetime(1970, 1, 1, tzinfo=UTC)
EXPIRES_TO: Final = datetime(2200, 1, 1, tzinfo=UTC)  # far from where calendars, and nanoseconds in 64 bits, end
OWN_PREFIX: Final = "tw-"  # of client order ids that we derive, so that no caller's can be one of them
# Reasons that the OMS gives itself and that it reads something from.
OWN_REASONS: Final = frozenset({"external", "close_by", "close_position", "merge", "stop_loss", "stop_gain"})

Id = Annotated[int, Meta(ge=1, le=10**18 - 1)]
IdOrNone = Annotated[int, Meta(ge=0, le=10**18 - 1)]
Symbol = Annotated[str, Meta(min_length=1, max_length=64)]
ClientOrderId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:\-]{1,36}\Z")]
RequestId = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,128}\Z")]
RequestIdOrNone = RequestId | None
Comment = Annotated[str, Meta(max_length=256)]


class Payload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What stands in `payload`. Subclasses refuse in `__post_init__` what no state of the world could make right."""


def _need(ok: bool, field: str, message: str) -> None:
    if not ok:
        raise OmsError("validation_error", f"{field}: {message}", details={"field": field})


def _above_zero(payload: Payload, *names: str) -> None:
    for name in names:
        value = getattr(payload, name)
        _need(value is None or value is UNSET or value > 0, name, "must be above 0")


class SendOrder(Payload, frozen=True, kw_only=True):
    symbol: Symbol
    side: Side
    order_type: OrderType
    qty: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expires_at: datetime | None = None
    post_only: bool = False
    reduce_only: bool = False
    stop_loss: Decimal | None = None
    stop_gain: Decimal | None = None
    strategy_id: IdOrNone = 0
    position_id: IdOrNone = 0
    client_order_id: ClientOrderId | None = None
    reason: Annotated[str, Meta(max_length=64)] = ""
    comment: Comment = ""
    params: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _above_zero(self, "qty", "price", "trigger_price", "stop_loss", "stop_gain")
        limited, waits = self.order_type.is_limited, self.order_type.is_triggered
        kind = self.order_type.value
        _need((self.price is not None) == limited, "price", f"{'needed by' if limited else 'not for'} a {kind} order")
        _need(
            (self.trigger_price is not None) == waits,
            "trigger_price",
            f"{'needed by' if waits else 'not for'} a {kind} order",
        )
        rests = self.time_in_force in {TimeInForce.GTC, TimeInForce.GTD}
        _need(limited or self.time_in_force is TimeInForce.GTC, "time_in_force", f"a {kind} order has none but GTC")
        dated = self.time_in_force is TimeInForce.GTD
        _need((self.expires_at is not None) == dated, "expires_at", "needed by GTD" if dated else "only for GTD")
        _need(self.expires_at is None or self.expires_at.tzinfo is not None, "expires_at", "must name its UTC offset")
        known = self.expires_at is None or EXPIRES_FROM <= self.expires_at < EXPIRES_TO
        _need(known, "expires_at", f"must be from {EXPIRES_FROM.year} to before {EXPIRES_TO.year}")
        _need(not self.post_only or (self.order_type is OrderType.LIMIT and rests), "post_only",
              "only for limit orders that may rest")  # fmt: skip
        own = self.client_order_id is not None and self.client_order_id.startswith(OWN_PREFIX)
        _need(not own, "client_order_id", f"must not begin with {OWN_PREFIX}")
        _need(self.reason not in OWN_REASONS, "reason", "is a word of the OMS")
        size = len(msgspec.json.encode(self.params))
        _need(size <= PARAMS_BYTES_MAX, "params", f"{size} bytes of JSON, at most {PARAMS_BYTES_MAX}")


class ChangeOrder(Payload, frozen=True, kw_only=True):
    order_id: Id
    new_price: Decimal | None = None
    new_qty: Decimal | None = None

    def __post_init__(self) -> None:
        _above_zero(self, "new_price", "new_qty")
        _need(self.new_price is not None or self.new_qty is not None, "new_price", "give new_price, new_qty or both")


class CancelOrder(Payload, frozen=True, kw_only=True):
    """`ids` has them all, however they were written."""

    order_id: Id | None = None
    order_ids: Annotated[list[Id], Meta(max_length=200)] = []
    order_ids_csv: Annotated[str, Meta(pattern=r"^\d{1,18}(,\d{1,18}){0,199}\Z")] | None = None

    def __post_init__(self) -> None:
        given = sum((self.order_id is not None, bool(self.order_ids), self.order_ids_csv is not None))
        _need(given == 1, "order_id", "give one of order_id, order_ids, order_ids_csv")

    @property
    def ids(self) -> tuple[int, ...]:
        if self.order_id is not None:
            return (self.order_id,)
        csv = [int(text) for text in self.order_ids_csv.split(",")] if self.order_ids_csv else self.order_ids
        return tuple(dict.fromkeys(csv))


class CancelAllOrders(Payload, frozen=True, kw_only=True):
    """No strategy and no symbol: the whole account."""

    strategy_ids: Annotated[list[IdOrNone], Meta(max_length=200)] = []
    symbol: Symbol | None = None


class ClosePosition(Payload, frozen=True, kw_only=True):
    position_id: Id
    order_type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    qty: Decimal | None = None  # all of it

    def __post_init__(self) -> None:
        _above_zero(self, "price", "qty")
        _need(self.order_type in {OrderType.MARKET, OrderType.LIMIT}, "order_type", "market or limit")
        limited = self.order_type is OrderType.LIMIT
        _need((self.price is not None) == limited, "price", "needed by a limit order and by no other")


class CloseBy(Payload, frozen=True, kw_only=True):
    position_id_a: Id
    position_id_b: Id
    qty: Decimal | None = None  # as much as both have

    def __post_init__(self) -> None:
        _above_zero(self, "qty")
        _need(self.position_id_a != self.position_id_b, "position_id_b", "must be another position")


class MergePositions(Payload, frozen=True, kw_only=True):
    """`keep` the target's stops, `clear` them, or `set` those given here."""

    source_position_id: Id
    target_position_id: Id
    stop_mode: Literal["keep", "clear", "set"] = "keep"
    stop_loss: Decimal | None = None
    stop_gain: Decimal | None = None

    def __post_init__(self) -> None:
        _above_zero(self, "stop_loss", "stop_gain")
        _need(self.source_position_id != self.target_position_id, "target_position_id", "must be another position")
        given = self.stop_loss is not None or self.stop_gain is not None
        _need(given == (self.stop_mode == "set"), "stop_mode", "`set` and stop_loss, stop_gain need each other")


class PositionChange(Payload, frozen=True, kw_only=True):
    """null clears a stop; what is not named stays."""

    position_id: Id
    stop_loss: Decimal | UnsetType | None = UNSET
    stop_gain: Decimal | UnsetType | None = UNSET
    comment: Comment | UnsetType = UNSET

    def __post_init__(self) -> None:
        _above_zero(self, "stop_loss", "stop_gain")
        named = {self.stop_loss, self.stop_gain, self.comment} != {UNSET}
        _need(named, "stop_loss", "give any of stop_loss, stop_gain, comment")


class CancelAllAfter(Payload, frozen=True, kw_only=True):
    timeout_ms: Annotated[int, Meta(ge=0, le=24 * 3_600_000)]  # 0 disarms


COMMANDS: Final[Mapping[str, type[Payload]]] = MappingProxyType({
    "send_order": SendOrder,
    "change_order": ChangeOrder,
    "cancel_order": CancelOrder,
    "cancel_all_orders": CancelAllOrders,
    "close_position": ClosePosition,
    "close_by": CloseBy,
    "merge_positions": MergePositions,
    "position_change": PositionChange,
    "cancel_all_after": CancelAllAfter,
})  # fmt: skip
ALIASES: Final = MappingProxyType({"type": "order_type", "amount": "qty"})
_PROPER: Final = re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{0,17}[1-9])?")  # what `money` has no more to do with
_MONEY: Final = frozenset({
    "qty", "price", "trigger_price", "stop_loss", "stop_gain", "new_price", "new_qty",
})  # fmt: skip


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command as it is sent."""

    account_id: Id
    command: str
    payload: dict[str, Any]
    request_id: RequestId | None = None
    validate: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is understood. `plain` is its payload in the one spelling, JSON-ready; `hash` is of all of it."""

    account_id: int
    command: str
    payload: Payload
    plain: Mapping[str, Any]
    hash: bytes
    request_id: str | None = None
    validate: bool = False


_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)  # numbers keep their digits


def decode(body: bytes) -> object:
    """JSON whose numbers keep their digits. Raises OmsError."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, InvalidOperation, RecursionError) as error:
        raise OmsError("validation_error", f"the body is not JSON: {error}") from None


def parse(body: object, *, request_id: str | None = None) -> list[Request | OmsError]:
    """What a decoded body asks for, one by one; what cannot be understood stands as its refusal.

    `request_id` is the `Idempotency-Key` of the whole body: of an array, each command has it with its index.
    """
    if not isinstance(body, list):
        return [_parse_one(body, request_id)]
    if not 0 < len(body) <= BATCH_MAX:
        raise OmsError("validation_error", f"an array holds 1 to {BATCH_MAX} commands, not {len(body)}")
    return [_parse_one(item, f"{request_id}:{index}" if request_id else None) for index, item in enumerate(body)]


def _parse_one(item: object, request_id: str | None) -> Request | OmsError:
    try:
        envelope = _convert(item, Envelope, "")
        kind = COMMANDS.get(envelope.command)
        if kind is None:
            raise OmsError(
                "unsupported_action",
                f"there is no command {envelope.command[:64]!r}",
                details={"commands": [*COMMANDS]},
            )
        payload = _convert(_spelled(envelope.payload), kind, "payload.")
        plain = {name: _plain(getattr(payload, name), value) for name, value in msgspec.to_builtins(payload).items()}
        asked = [envelope.account_id, envelope.command, plain]
        return Request(
            account_id=envelope.account_id,
            command=envelope.command,
            payload=payload,
            plain=plain,
            hash=hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).digest(),
            request_id=envelope.request_id or _convert(request_id, RequestIdOrNone, "request_id"),
            validate=envelope.validate,
        )
    except OmsError as error:
        return error


def _convert(value: object, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        found = re.search(r"`\$\.?([^`]*)`$", text) or re.search(r"field `([^`]*)`", text)
        field = (where + (found[1] if found else "")).rstrip(".") or "body"  # a command is what is no object
        raise OmsError("validation_error", text, details={"field": field}) from None


def _spelled(payload: Mapping[str, Any]) -> dict[str, Any]:
    """With aliases as what they stand for, and money as exact decimals."""
    named: dict[str, Any] = {}
    for name, value in payload.items():
        proper = ALIASES.get(name, name)
        _need(proper not in named, proper, "is given twice")
        if proper in _MONEY and value is not None:
            named[proper] = money(proper, value)
        elif proper == "params":
            named[proper] = _floats(value, 0)
        else:
            named[proper] = value
    return named


def money(field: str, value: object) -> Decimal:
    """A string or a number of JSON as an exact decimal without trailing zeros. Raises OmsError."""
    if isinstance(value, str) and _PROPER.fullmatch(value):
        return Decimal(value)
    plausible = isinstance(value, str | int | float | Decimal) and not isinstance(value, bool)
    text = str(value) if plausible and not isinstance(value, int) else ""
    if isinstance(value, int) and plausible and abs(value) < 10**DIGITS_MAX:
        return Decimal(value)
    if len(text) > 64 or not re.fullmatch(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", text, re.ASCII):
        raise OmsError("validation_error", f"{field}: not a decimal number", details={"field": field})
    number = Decimal(text)
    if number == 0:
        return Decimal(0)
    _need(number.adjusted() < DIGITS_MAX, field, f"more than {DIGITS_MAX} digits before the point")
    _need(number.adjusted() >= -DIGITS_MAX, field, f"more than {DIGITS_MAX} digits after the point")
    plain = format(number, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    number = Decimal(plain)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    _need(exponent >= -DIGITS_MAX, field, f"more than {DIGITS_MAX} digits after the point")
    return number


def _floats(value: object, depth: int) -> object:
    """What the exchange is handed as it is: its numbers as any JSON reader would have them."""
    _need(depth <= 8, "params", "nested too deep")
    if isinstance(value, Decimal):
        _need(math.isfinite(float(value)), "params", "holds a number that is too large")
        return float(value)
    if isinstance(value, int):
        _need(value in INTEGERS, "params", "holds an integer of more than 64 bits")
        return value
    if isinstance(value, dict):
        return {name: _floats(item, depth + 1) for name, item in value.items()}
    return [_floats(item, depth + 1) for item in value] if isinstance(value, list) else value


def _plain(value: object, builtin: object) -> object:
    """In the one spelling: of a decimal, msgspec's may have an exponent."""
    return format(value, "f") if isinstance(value, Decimal) else builtin
