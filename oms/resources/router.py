"""All resources of the OMS, to be mounted by whoever composes the application.

It gives `principal` as a dependency, and knows how a refusal looks. Must not know what a resource does.
"""

from __future__ import annotations

from collections.abc import Callable

from litestar import Router
from litestar.di import Provide

from oms.resources import administration, alerts, commands, operating, publishing, reading, reconciling, signatures
from oms.resources.doors import Service


def router(service: Service, status_of: Callable[[str], int]) -> Router:
    """`status_of` gives the HTTP status of a code of the catalogue."""
    return Router(
        "/",
        route_handlers=[
            *commands.routes(service, status_of),
            *reading.routes(service),
            *administration.routes(service),
            *reconciling.routes(service),
            *operating.routes(service),
            *publishing.routes(service),
            *alerts.routes(service),
        ],
        dependencies={
            "asked": Provide(reading.wanted, sync_to_thread=False),
            "is_signed": Provide(signatures.looking(service)),
        },
    )
