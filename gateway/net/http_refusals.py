"""How resources of the gateway describe what they refuse, in the OpenAPI document.

Holds types. Must not know a resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypedDict

from litestar.openapi.datastructures import ResponseSpec

_MEANING: Final[Mapping[int, str]] = {
    401: "No credentials, or none that are good.",
    403: "Not with this API key.",
    404: "There is no such thing, or it may not be seen.",
    422: "What is asked cannot be understood.",
    429: "Too often.",
    503: "What is needed for it cannot be reached; try again.",
}


class _Always(TypedDict):
    code: str
    message: str
    request_id: str


class RefusalShape(_Always, total=False):
    """A refusal: `details` and `retry_after_ms` are there when they apply."""

    details: dict[str, Any]
    retry_after_ms: int


def refusals() -> dict[int, ResponseSpec]:
    """What an operation may answer besides."""
    return {status: ResponseSpec(RefusalShape, description=text) for status, text in _MEANING.items()}
