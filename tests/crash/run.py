"""One run: a gateway is traded on, dies, lives again, and at the end both sides' books must say the same.

Holds the order in which a plan is carried out. Must not know how processes are started, nor what must hold.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from tests.crash.agreement import OPEN_THERE, disagreements
from tests.crash.client import Asked, Client, contradictions
from tests.crash.plan import Action, Death, Plan, left_of
from tests.crash.traps import SPRUNG
from tests.crash.world import Gateway, Scene, World

READY_S = 30.0
TOLD_S = 30.0
AGREED_S = 15.0
LIFE_S = 4.0  # a later life whose trap is never reached ends so
NEITHER_S = 0.05
OF_THE_DRIVER = "PoolConnectionHolder.release()"  # asyncpg does not look at how its own task ended
SYMBOL_THERE = {"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT"}


class Told(NamedTuple):
    """What came of a run. `problems` is empty when all agreed."""

    plan: Plan
    deaths: int
    sprung: list[tuple[str, str]]  # the steps at which something was killed, and what
    orders: int
    fills: int
    late: int  # requests that the exchange carried out after whoever sent them had died
    problems: list[str]


class Run:
    def __init__(self, plan: Plan, scene: Scene) -> None:
        self.plan = plan
        self.scene = scene
        self.client = Client(scene.http, scene.key, scene.account.id)
        self.deaths = 0
        self._under_way: set[int] = set()  # requests at the exchange, when a life had ended
        self.sprung: list[tuple[str, str]] = []
        self._asking: set[asyncio.Task[Any]] = set()
        self._done = 0  # of the plan's actions

    async def carry_out(self) -> Told:
        await self._first_life()
        await self._meanwhile()
        for death in self.plan.deaths_again:
            await self._later_life(death)
            await self._meanwhile()
        problems = await self._last_life() + self._logged()
        ledger = await self.scene.ledger()
        late = [row for row in ledger["requests"] if row["number"] in self._under_way and row["outcome"] == "accepted"]
        return Told(
            self.plan, self.deaths, self.sprung, len(ledger["orders"]), len(ledger["fills"]), len(late), problems
        )

    # Lives

    async def _first_life(self) -> None:
        trap = self.plan.death.trap
        async with self.scene.gateway(native=self.plan.native, trap=trap) as gateway:
            if await self._ready_or_dead(gateway):
                await self._trade(gateway)
            await self._died()

    async def _trade(self, gateway: Gateway) -> None:
        """Until all is done or the gateway is dead."""
        killer = None
        if self.plan.death.trap is None:
            killer = asyncio.create_task(self._kill_after(gateway, self.plan.death.after_s))
        await self._go_on(gateway)
        if killer is not None:
            await killer
        await gateway.kill()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _go_on(self, gateway: Gateway) -> None:
        """With what is left of the plan, until it is done and answered, or the gateway is dead."""
        ended = asyncio.create_task(gateway.ended.wait())
        while self._done < len(self.plan.actions) and not ended.done():
            self._done += 1
            await self._act(self.plan.actions[self._done - 1], self._done)
        if self._asking and not ended.done():
            waiting: set[asyncio.Future[Any]] = {asyncio.gather(*self._asking, return_exceptions=True), ended}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()

    async def _later_life(self, death: Death) -> None:
        for fault in self.plan.faults_again:
            await self._fault(fault)
        async with self.scene.gateway(native=self.plan.native, trap=death.trap) as gateway:
            self.client.url = gateway.url
            repeating = asyncio.create_task(self._repeat())
            await asyncio.wait(
                {asyncio.create_task(gateway.ended.wait()), repeating},
                timeout=LIFE_S if death.trap else death.after_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            await gateway.kill()
            repeating.cancel()
            await asyncio.gather(repeating, return_exceptions=True)
            await self._died()

    async def _died(self) -> None:
        self.deaths += 1
        requests = (await self.scene.ledger())["requests"]
        self._under_way |= {row["number"] for row in requests if row["outcome"] == "received" and is_late(row)}

    async def _last_life(self) -> list[str]:
        await self.scene.world.exchange.fault("clear")
        async with self.scene.gateway(native=self.plan.native) as gateway:
            self.client.url = gateway.url
            try:
                await self.client.until_ready(READY_S)
                await self._repeat()
                await self._go_on(gateway)
                await self._repeat()
            except TimeoutError:
                return [*await self._problems(), "not ready, or not all is answered, in time"]
            return await self._agreed()

    async def _ready_or_dead(self, gateway: Gateway) -> bool:
        self.client.url = gateway.url
        ready = asyncio.create_task(self.client.until_ready(READY_S))
        ended = asyncio.create_task(gateway.ended.wait())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if gateway.ended.is_set():
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
            return False
        await ready
        return True

    async def _kill_after(self, gateway: Gateway, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await gateway.kill()

    # What clients do

    async def _act(self, action: Action, index: int) -> None:
        if action.kind == "fill":
            await self._fill(action)
            return
        if action.kind == "fault":
            await self._fault(action)
            return
        asked = self._command(action)
        if asked is None:
            return
        task = asyncio.create_task(self.client.ask(asked, socket=index % 2 == 1))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        if action.alone:
            await asyncio.wait({task})
        else:
            await asyncio.sleep(NEITHER_S)

    def _command(self, action: Action) -> Asked | None:
        """None: there is nothing yet that it could be about."""
        fields = dict(action.fields)
        if action.kind == "send":
            return self.client.command("send_order", **fields)
        if action.kind == "cancel_all":
            return self.client.command("cancel_all_orders")
        sent = self.client.orders_sent()
        if not sent:
            return None
        fields["order_id"] = sent[int(fields.pop("which") * len(sent))]
        return self.client.command("change_order" if action.kind == "change" else "cancel_order", **fields)

    async def _repeat(self) -> None:
        """Everybody asks again for what they asked for, all at once."""
        again = [
            self.client.ask_until_told(asked, socket=index % 2 == 0, timeout_s=TOLD_S)
            for index, asked in enumerate(self.client.asked)
        ]
        await asyncio.gather(*again)

    # What the exchange does

    async def _meanwhile(self) -> None:
        for action in self.plan.meanwhile:
            await self._fill(action)

    async def _fill(self, action: Action) -> None:
        """Of one of the orders that are open there, when there is one."""
        orders = [row for row in (await self.scene.ledger())["orders"] if row["status"] in OPEN_THERE]
        if not orders:
            return
        row = orders[int(action.fields["which"] * len(orders))]
        remaining = Decimal(row["qty"]) - Decimal(row["executed_qty"])
        fields = {
            "symbol": row["symbol"],
            "order_id": row["order_id"],
            "account": self.scene.account.name,
        }
        if (qty := left_of(action.fields["qty"], remaining)) is not None:
            fields["qty"] = qty
        if action.fields["unseen"]:
            await self.scene.world.exchange.fault("fill_unseen", **fields)
        else:
            await self.scene.world.exchange.post("fill", **fields)

    async def _fault(self, action: Action) -> None:
        fields = dict(action.fields)
        name = fields.pop("fault")
        if name in {"repeat", "reorder"}:
            fields["account"] = self.scene.account.name
        await self.scene.world.exchange.fault(name, **fields)

    # What must hold

    async def _agreed(self) -> list[str]:
        """Soon, and for good: what is in doubt is asked about meanwhile."""
        problems: list[str] = []
        try:
            async with asyncio.timeout(AGREED_S):
                while True:
                    await self.client.reconcile()
                    if not (problems := await self._problems()):
                        return []
        except TimeoutError:
            return problems or ["could not be compared in time"]

    async def _problems(self) -> list[str]:
        ours, ledger = await self.scene.books(), await self.scene.ledger()
        said = [each for asked in self.client.asked for each in contradictions(asked)]
        late = [f"{row['method']} {row['path']} is still under way there" for row in ledger["requests"] if is_late(row)]
        return [*disagreements(ours, ledger), *said, *self._unanswered(), *late]

    def _unanswered(self) -> list[str]:
        return [f"{asked.body['request_id']} was never answered" for asked in self.client.asked if not asked.answers]

    def _logged(self) -> list[str]:
        """Faults of ours that some life has logged: whoever dies says nothing, and what is lost is foreseen."""
        found = []
        for line in self.scene.log_file.read_text(errors="replace").splitlines():
            try:
                said = json.loads(line)
            except json.JSONDecodeError:
                found.append(f"printed: {line}")
                continue
            is_fault = said["level"] in {"error", "critical"} and "exception" in said
            if said["event"] == SPRUNG:
                self.sprung.append((said["step"], said["victim"]))
            elif is_fault and OF_THE_DRIVER not in said["event"]:
                found.append(f"logged: {said['event']}: {said['exception'].strip().splitlines()[-1]}")
        return found


def is_late(request: Mapping[str, Any]) -> bool:
    """Whether the exchange has yet to carry it out, or to answer."""
    return bool(request["answer"] == "none")


async def run(world: World, plan: Plan) -> Told:
    async with world.scene(plan.mode) as scene:
        return await Run(plan, scene).carry_out()
