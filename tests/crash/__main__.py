"""`python -m tests.crash --runs 300 --seed 1`: hundreds of runs, what each step came to, and every disagreement."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from collections import Counter
from itertools import product
from pathlib import Path

from tests.crash.plan import plan_of
from tests.crash.run import Told, run
from tests.crash.traps import AGAIN, TRADING, VICTIMS
from tests.crash.world import world_of


async def main(runs: int, seed: int, first: int, folder: Path) -> int:
    """The number of runs that went wrong."""
    told: list[Told] = []
    wrong = 0
    async with world_of(folder) as world:
        for number in range(first, first + runs):
            began = time.monotonic()
            plan = plan_of(seed, number)
            try:
                one = await run(world, plan)
            except Exception:  # the others go on: all that is wrong is to be seen
                traceback.print_exc()
                wrong += 1
                print(f"{number}: failed: {plan.death}", flush=True)
                continue
            told.append(one)
            wrong += bool(one.problems)
            trap = plan.death.trap
            what = f"{trap.step} {trap.victim} {trap.nth}" if trap else f"after {plan.death.after_s:.2f} s"
            came = f"{one.deaths} deaths, {one.orders} orders, {one.fills} fills, {one.late} late"
            print(f"{number}: {what}: {came}, {time.monotonic() - began:.1f} s", flush=True)
            for problem in one.problems:
                print(f"    {problem}", flush=True)
    show(told, wrong)
    return wrong


def show(told: list[Told], wrong: int) -> None:
    sprung = Counter(each for one in told for each in one.sprung)
    never = sorted({*product((*TRADING, *AGAIN), VICTIMS)} - sprung.keys())
    names = ("deaths", "orders", "fills", "late")
    deaths, orders, fills, late = (sum(getattr(one, name) for one in told) for name in names)
    kills = sum(sprung.values())
    print(f"{len(told)} runs, {orders} orders, {fills} fills, {wrong} runs with a disagreement")
    print(f"{deaths} deaths: a gateway was killed, and another one went on with its database")
    print(f"{kills} kills at a step ({len(sprung)} pairs of a step and a victim): of the gateway, of its connection to")
    print("    the database (backend) or of PostgreSQL (postmaster); a gateway that goes on is killed after a time")
    print(f"{late} requests were carried out after whoever sent them had died")
    if never:
        pairs = ", ".join(f"{step} {victim}" for step, victim in never)
        print(f"never reached, in {len(told)} runs of this seed: {pairs}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first run: to see one again")
    parser.add_argument("--keep", type=Path, help="where logs of gateways are kept; else they are thrown away")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tickwire-crash-") as made:
        kept = asked.keep or Path(made)
        kept.mkdir(parents=True, exist_ok=True)
        sys.exit(min(1, asyncio.run(main(asked.runs, asked.seed, asked.first, kept))))
