"""Signatures over HTTP: the headers that carry one, and whether what would loosen an account's bounds came with one.

Holds what of a request is signed. Must not know when a signature is needed, nor how one is checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import HeaderParameter

from oms.errors import OmsError
from oms.resources.doors import Asks, Service
from oms.signing import Signed

Sig = Annotated[
    str | None,
    HeaderParameter(
        name="X-Tickwire-Signature",
        max_length=128,
        description="Of a signed request, with the two below: needed where an account takes signed commands only.",
    ),
]
SignedAt = Annotated[
    int | None, HeaderParameter(name="X-Tickwire-Timestamp", description="When it was signed, in ms since 1970.")
]
Nonce = Annotated[
    str | None, HeaderParameter(name="X-Tickwire-Nonce", max_length=128, description="16 to 64 characters, once.")
]
IsSigned = NamedDependency[bool]  # a parameter `is_signed`: a signature that is wrong has been refused by then


def signature_of(sig: str | None, ts: int | None, nonce: str | None, payload: bytes) -> Signed | None:
    """What was said of a request, of which `payload` is signed. Raises OmsError for half of it."""
    if sig is None and ts is None and nonce is None:
        return None
    if sig is None or ts is None or nonce is None:
        text = "X-Tickwire-Signature, X-Tickwire-Timestamp and X-Tickwire-Nonce belong together"
        raise OmsError("validation_error", text)
    return Signed(sig, ts, nonce, payload)


def looking(service: Service) -> Callable[..., Awaitable[bool]]:
    """What provides `is_signed`. Signed are method, path and body, a line each: no command begins like that."""

    async def is_signed(
        request: Request[Any, Any, Any],
        principal: Asks,
        sig: Sig = None,
        signed_at: SignedAt = None,
        nonce: Nonce = None,
    ) -> bool:
        payload = f"{request.method}\n{request.scope['path']}\n".encode() + await request.body()
        signature = signature_of(sig, signed_at, nonce, payload)
        if signature is None:
            return False
        service.require_right(principal, signature)
        return True

    return is_signed
