"""What is built here fits the protocols that the hub and the sources speak to each other."""

from __future__ import annotations

import inspect

import pytest

from gateway.core.hub import Hub
from gateway.core.key import Key
from gateway.sources.base import Sink, Source, WatchStatus, is_able
from gateway.sources.ccxt_source import CcxtSource
from gateway.sources.synthetic import SyntheticSource
from tests.gateway.sources.tools import RecordingSink


def methods(protocol: type) -> dict[str, list[str]]:
    return {
        name: list(inspect.signature(member).parameters)
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("protocol", "implementation"),
    [(Source, CcxtSource), (Source, SyntheticSource), (Sink, RecordingSink), (Sink, Hub)],
)
def test_methods_and_parameters_are_those_of_the_protocol(protocol: type, implementation: type) -> None:
    for name, parameters in methods(protocol).items():
        assert list(inspect.signature(getattr(implementation, name)).parameters) == parameters


@pytest.mark.parametrize(
    ("states", "started", "able"),
    [
        ([], False, False),
        ([], True, True),
        (["starting"], False, False),
        (["starting", "backoff"], True, True),
        (["backoff", "backoff"], True, False),
        (["backoff", "live"], False, True),
    ],
)
def test_a_source_is_able_when_a_watch_proves_it_or_none_denies_it(
    states: list[str], started: bool, able: bool
) -> None:
    key = Key("sim", "quotes", "BTC/USDT")
    watches = [
        WatchStatus(key=key, state=state, since_ns=0, last_update_ns=None, updates=0, errors=0, restarts=0)
        for state in states
    ]
    assert is_able(watches, started=started) is able
