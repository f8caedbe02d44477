"""Who is connected, for who may know: an admin about everybody, a user about their own connections.

Holds what is told of a connection. Must not know HTTP, nor what a connection reads.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from gateway.core.moment import moment
from gateway.net.addresses import network_of
from gateway.net.conversation import Conversation

if TYPE_CHECKING:
    from gateway.auth import Principal
    from gateway.net.sessions import Sessions

PAGE_MAX: Final = 500


class Roster:
    """The open connections of a process, a page at a time, the oldest first."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def told(self, caller: Principal, page: int, page_size: int) -> dict[str, Any]:
        """What this principal may know, JSON-ready: counts by user, and a page of connections."""
        seen = [
            session
            for session in self._sessions.open
            if isinstance(session, Conversation) and (caller.is_admin or _user_of(session) == caller.user_name)
        ]
        seen.sort(key=lambda session: (session.opened_ns, session.id))
        connections = Counter(_user_of(session) for session in seen)
        subscriptions: Counter[str | None] = Counter()
        for session in seen:
            subscriptions[_user_of(session)] += session.subscriptions
        first = (page - 1) * page_size
        return {
            "users": [
                {"user": user, "connections": count, "subscriptions": subscriptions[user]}
                for user, count in sorted(connections.items(), key=lambda each: (each[0] is not None, each[0] or ""))
            ],
            "items": [_item(session) for session in seen[first : first + page_size]],
            "total": len(seen),
            "page": page,
            "page_size": page_size,
        }


def _user_of(session: Conversation[Any]) -> str | None:
    return None if session.principal is None else session.principal.user_name


def _item(session: Conversation[Any]) -> dict[str, Any]:
    return {
        "connection_id": session.id,
        "dialect": session.dialect,
        "user": _user_of(session),
        "network": network_of(session.peer),
        "opened_at": moment(session.opened_ns),
        "subscriptions": session.subscriptions,
        "queued_bytes": session.queued_bytes,
    }
