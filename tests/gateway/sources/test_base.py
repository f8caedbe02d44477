"""What is built here fits the protocols that the hub and the sources speak to each other."""

from __future__ import annotations

import inspect

import pytest

from gateway.core.hub import Hub
from gateway.sources.base import Sink, Source
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
