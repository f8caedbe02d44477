"""The OpenAPI document against the gateway that serves it: whatever fits the document, or nearly does, is answered as
the document says, and nothing makes the server fail.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.e2e.ordering import Ordering

EXAMPLES: Final = settings(
    max_examples=25,  # a resource
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[*HealthCheck],
)
# What fits the document may still break a rule between its fields, or of the market: 422 as well.
EXCLUDED: Final[list[Any]] = [positive_data_acceptance]
# Of these a trader's key can only show that they are an admin's.
ADMINS: Final = "/oms/accounts"


class Attack:
    """Made-up requests, good and bad, to each resource: `wrong` is what was not answered as documented."""

    def __init__(self, url: str) -> None:
        self.schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        self.schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
        self.wrong: list[str] = []
        self.statuses: dict[str, set[int]] = {}

    def run(self, key: str, path_regex: str) -> None:
        """All resources with such a path, with this API key."""
        for result in self.schema.include(path_regex=path_regex).get_all_operations():
            assert isinstance(result, Ok), result
            self._try(result.ok(), key)

    def _try(self, operation: Any, key: str) -> None:
        statuses = self.statuses.setdefault(operation.label, set())

        @EXAMPLES
        @given(case=operation.as_strategy())
        def holds(case: schemathesis.Case[Any]) -> None:
            response = case.call(headers={"x-api-key": key}, timeout=30)
            statuses.add(response.status_code)
            case.validate_response(response, excluded_checks=EXCLUDED)

        try:
            holds()
        except FailureGroup as group:
            self.wrong += [f"{operation.label}: {error}" for error in group.exceptions]


async def test_every_resource_answers_as_the_document_says(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    attack = await asyncio.to_thread(Attack, f"http://127.0.0.1:{gateway.app.port}")
    await asyncio.to_thread(attack.run, gateway.keys["ann"], rf"^(?!{ADMINS})")
    await asyncio.to_thread(attack.run, gateway.keys["root"], f"^{ADMINS}")
    assert attack.wrong == []
    assert len(attack.statuses) >= 26
    never = {label for label, statuses in attack.statuses.items() if not any(status < 300 for status in statuses)}
    # A made-up order meets no market, and a made-up strategy is nobody's.
    assert never <= {"POST /oms/commands", "POST /oms/reassign", "PATCH /oms/strategies", "PATCH /oms/accounts"}
