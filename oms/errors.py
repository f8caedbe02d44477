"""What the OMS refuses, in codes of the one catalogue.

Holds the exception and nothing else. Must not know a dialect, an HTTP status or a socket: the gateway renders it.
"""

from __future__ import annotations

from typing import Any


class OmsError(Exception):
    """A refusal: a code of the error catalogue (protocol section 9), a sentence to act on, and JSON-encodable details.

    `retry_after_ms` is set where trying again later can help. No text in it may hold a secret.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.retry_after_ms = retry_after_ms
