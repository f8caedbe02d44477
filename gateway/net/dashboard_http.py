"""The dashboards over HTTP: how they do (docs/protocol.md, "HTTP").

Holds a route. Must not know sockets nor sessions: the document is the service's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import get

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from gateway.net.dashboard import DashboardService


def status_resource(dashboards: DashboardService) -> ControllerRouterHandler:
    """`GET /websocket/status`."""

    @get("/websocket/status", sync_to_thread=False)
    def websocket_status() -> dict[str, Any]:
        """Whether there are dashboards, how many, how often they are told what, and if that goes on."""
        return dashboards.status()

    return websocket_status
