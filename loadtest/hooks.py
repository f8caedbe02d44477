"""What locust does around a run: the compiled readers beside its users, how late the users were, and whether they were
the bottleneck.

Holds listeners, which `join` hands to locust. Must not know what users do.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped]  # what locust runs on has no types
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from loadtest import bottleneck, pulse, swarm, volume

clients: dict[str, pulse.Figures] = {}  # what each process that has users tells of itself; on a master of all workers
swarms: list[volume.Volume] = []


def join() -> None:
    """Each listener to its event, once for a process."""
    at: Any = events  # which have no types
    at.test_start.add_listener(with_its_swarm)
    at.test_start.add_listener(with_its_pulse)
    at.worker_report.add_listener(of_a_worker)
    at.init.add_listener(whether_it_was_the_bottleneck)


def with_its_swarm(environment: Any, **_more: object) -> None:
    """On whoever runs users: alone, or each worker; a master has none."""
    asked = environment.parsed_options
    swarms.clear()
    if not asked.swarm or isinstance(environment.runner, MasterRunner):
        return
    others = {name: getattr(asked, f"swarm_{name}") for name in swarm.SHARES}
    one = volume.Volume(volume.swarm_of(environment.host, asked.swarm, asked.swarm_symbols, others), environment.stats)
    swarms.append(one)
    running = gevent.spawn(one.run)

    def end(**_more: object) -> None:
        environment.events.test_stop.remove_listener(end)
        one.stop()
        running.join()

    environment.events.test_stop.add_listener(end)


def with_its_pulse(environment: Any, **_more: object) -> None:
    """Each process measures itself; whoever has no master, or is it, says in the end whether one was the bottleneck."""
    clients.clear()
    if isinstance(environment.runner, MasterRunner):
        return
    entry = environment.stats.get("lag", pulse.KIND)  # of the total it is no part: nothing was asked
    one = pulse.Pulse(gevent.sleep, time.perf_counter, lambda late_ms: entry.log(late_ms, 0))
    running = gevent.spawn(one.run)

    def tell(data: dict[str, Any], **_more: object) -> None:
        data[pulse.KIND] = pulse.worst([one.figures(), *(each.figures() for each in swarms)])

    def end(**_more: object) -> None:
        environment.events.test_stop.remove_listener(end)
        environment.events.report_to_master.remove_listener(tell)
        running.kill()
        if not isinstance(environment.runner, WorkerRunner):
            told: dict[str, Any] = {}
            tell(told)
            of_a_worker("alone", told)

    environment.events.report_to_master.add_listener(tell)
    environment.events.test_stop.add_listener(end)


def of_a_worker(client_id: str, data: dict[str, Any], **_more: object) -> None:
    if pulse.KIND in data:
        clients[client_id] = data[pulse.KIND]


def whether_it_was_the_bottleneck(environment: Any, **_more: object) -> None:
    """Said once all is over, by whoever has heard of all processes."""
    if isinstance(environment.runner, WorkerRunner):
        return

    def say(**_more: object) -> None:
        figures = pulse.worst(clients.values())
        for said in bottleneck.told(figures):
            logging.getLogger(__name__).warning(said)
        if environment.parsed_options.client_json:
            Path(environment.parsed_options.client_json).write_text(json.dumps(figures), encoding="utf-8")

    environment.events.quit.add_listener(say)
