"""What happens in one run, decided by a seed: what clients ask for, what the exchange does badly, and who dies when.

Pure. Must not know how any of it is done.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any, Final, Literal, NamedTuple

from oms.model import PositionMode
from tests.crash.traps import AGAIN, IN_DOUBT, TRADING, VICTIMS, Trap

SYMBOLS: Final = ("BTC/USDT", "ETH/USDT")
LATE_MS: Final = 150  # longer than traps wait for a request to be under way
LATER_MS: Final = (600, 1_200, 2_500)  # carried out then, in another life than asked for; longer than lookups are apart
LATE_KINDS: Final = {"send": "POST order", "change": "POST order/cancelReplace", "cancel": "DELETE order"}
RARELY: Final = 0.25
CASES: Final = [(step, victim) for step in TRADING for victim in VICTIMS]

Kind = Literal["send", "change", "cancel", "cancel_all", "fill", "fault"]


class Action(NamedTuple):
    """One thing that somebody does. `alone`: the next one waits for its answer."""

    kind: Kind
    fields: dict[str, Any]
    alone: bool = True


class Death(NamedTuple):
    """How a life ends: in a trap, or so long after its first command or, in a later life, after its start."""

    trap: Trap | None = None
    after_s: float = 0.0


class Plan(NamedTuple):
    number: int
    mode: PositionMode
    native: bool
    actions: list[Action]
    death: Death
    deaths_again: list[Death]
    meanwhile: list[Action]  # while nobody is there to hear of it
    faults_again: list[Action]  # that the next life meets


def plan_of(seed: int, number: int) -> Plan:
    """Every step and victim has its turn; the rest is chance."""
    random = Random(f"{seed}:{number}")
    death, native = _death(random, number)
    return Plan(
        number=number,
        mode=random.choice(list(PositionMode)),
        native=native,
        actions=_actions(random, death),
        death=death,
        deaths_again=[_death_again(random) for _ in range(random.choice((0, 0, 1, 1, 2)))],
        meanwhile=[_fill(random) for _ in range(random.randint(0, 3))],
        faults_again=[_fault_of_reading(random)] if random.random() < RARELY else [],
    )


def _death(random: Random, number: int) -> tuple[Death, bool]:
    if number % 5 == 4:
        return Death(after_s=random.uniform(0, 0.6)), random.random() < 0.5
    step, victim = CASES[(number - number // 5) % len(CASES)]
    # Only one way of changing meets the second request of the other.
    native = step.startswith("change.") or random.random() < 0.5
    nth = 1 if step.startswith(("change", "cancel")) else random.choice((1, 2, 3))
    return Death(Trap(step, nth, victim)), native


def _death_again(random: Random) -> Death:
    if random.random() < RARELY:
        return Death(after_s=random.uniform(0, 0.5))
    return Death(Trap(random.choice(AGAIN), random.choice((1, 1, 2)), random.choice(VICTIMS)))


def _actions(random: Random, death: Death) -> list[Action]:
    """Orders that rest, are filled, changed and canceled; the step that is waited for comes by."""
    kinds: list[Kind] = ["send", "send", "fill", "change", "fill", "cancel", "send", "change", "fill", "cancel"]
    for _ in range(random.randint(0, 4)):
        extra: list[Kind] = ["send", "change", "cancel", "fill", "fault", "cancel_all"]
        kinds.insert(random.randint(1, len(kinds)), random.choice(extra))
    actions = [_action(random, kind) for kind in kinds]
    for _ in range(random.randint(0, 3)):
        actions.insert(random.randint(0, len(actions)), _doubt(random))
    if death.trap is not None and death.trap.step in IN_DOUBT:
        request = LATE_KINDS[death.trap.step.partition(".")[0]]
        later = death.trap.victim == "gateway" or random.random() < 0.5
        late = _later(random) if later else {"ms": LATE_MS}
        actions.insert(0, Action("fault", {"fault": "late", "request": request, "count": 20, **late}))
    elif death.trap is None and random.random() < 0.5:
        request = random.choice(list(LATE_KINDS.values()))
        actions.insert(0, Action("fault", {"fault": "late", "request": request, **_later(random)}))
    return actions


def _action(random: Random, kind: Kind) -> Action:
    alone = random.random() < 0.6
    if kind == "send":
        return Action(kind, _sending(random), alone)
    if kind == "change":
        terms = {"new_price": _price(random), "new_qty": _qty(random)}
        chosen = random.choice((["new_price"], ["new_qty"], ["new_price", "new_qty"]))
        return Action(kind, {"which": random.random(), **{name: terms[name] for name in chosen}}, alone)
    if kind == "cancel":
        return Action(kind, {"which": random.random()}, alone)
    if kind == "fill":
        return _fill(random)
    return _fault(random) if kind == "fault" else Action(kind, {}, alone)


def _sending(random: Random) -> dict[str, Any]:
    side, market = random.choice(("buy", "sell")), random.random() < 0.15
    asked = {
        "symbol": SYMBOLS[0] if random.random() < 0.8 else SYMBOLS[1],
        "side": side,
        "order_type": "market" if market else "limit",
        "qty": _qty(random),
    }
    return asked if market else {**asked, "price": _price(random, side)}


def _qty(random: Random) -> str:
    return random.choice(("0.2", "0.3", "0.5"))


def _price(random: Random, side: str = "buy") -> str:
    """Where nothing trades by itself, so that who fills it is ours to say."""
    return str(random.randint(1_000, 1_200) if side == "buy" else random.randint(900_000, 950_000))


def _fill(random: Random) -> Action:
    part = random.choice((None, "0.05", "0.05", "0.05", "0.1"))
    return Action("fill", {"which": random.random(), "qty": part, "unseen": random.random() < RARELY})


def _fault(random: Random) -> Action:
    request = random.choice(list(LATE_KINDS.values()))
    names = ("lose", "late", "fail", "reject", "repeat", "reorder", "drop", "fill_canceled", "pretend")
    name = random.choice(names)
    kinds: dict[str, dict[str, Any]] = {
        "lose": {"request": request, "accepted": random.random() < 0.7},
        "late": {"request": request, "ms": 100, "accepted": random.random() < 0.7},
        "fail": {"request": request, "accepted": random.random() < 0.7},
        "reject": {"request": request},
        "reorder": {"count": 2},
        "fill_canceled": {"qty": "0.05"},
    }
    return Action("fault", {"fault": name, **kinds.get(name, {})})


def _doubt(random: Random) -> Action:
    """The answer to the next request is lost, late or an error; it is done, now or later, or not."""
    names: list[tuple[str, dict[str, Any]]] = [
        ("lose", {}), ("late", {"ms": 100}), ("fail", {}), ("late", {"ms": 1_500}),
        ("late", _later(random)),
    ]  # fmt: skip
    name, more = random.choice(names)
    done = random.random() < 0.6 or "ms" in more
    request = random.choice(list(LATE_KINDS.values()))
    return Action("fault", {"fault": name, "request": request, "accepted": done, **more})


def _later(random: Random) -> dict[str, Any]:
    """A request that the exchange carries out when whoever sent it may be dead."""
    return {"ms": random.choice(LATER_MS), "accepted": False}


def _fault_of_reading(random: Random) -> Action:
    request = random.choice(("GET order", "GET openOrders", "GET myTrades"))
    return Action("fault", {"fault": random.choice(("lose", "fail")), "request": request, "accepted": False})


def left_of(qty: str | None, remaining: Decimal) -> str | None:
    """As much of a fill as fits; None: all of it."""
    return None if qty is None else f"{min(Decimal(qty), remaining):f}"
