"""The OpenAPI document says what commands look like, in the words of the types that read them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from oms.commands import COMMANDS
from tests.oms.resources.served import Served


@pytest.fixture(name="document")
async def _document(served: Served) -> Any:
    return (await served.client.get("/openapi.json")).json()


async def test_each_command_is_described_by_its_payload(document: Any) -> None:
    kinds = document["components"]["schemas"]["Command"]["oneOf"]
    assert [kind["properties"]["command"]["const"] for kind in kinds] == list(COMMANDS)
    for kind, payload in zip(kinds, COMMANDS.values(), strict=True):
        name = kind["properties"]["payload"]["$ref"].rsplit("/", 1)[1]
        assert set(document["components"]["schemas"][name]["properties"]) == set(payload.__struct_fields__)


async def test_money_is_a_string_of_digits(document: Any) -> None:
    pattern = document["components"]["schemas"]["SendOrder"]["properties"]["qty"]["pattern"]
    assert re.search(pattern, "0.000000000000000001")
    assert not re.search(pattern, "1e5")


async def test_every_reference_leads_somewhere_and_no_pattern_is_pythons_own(document: Any) -> None:
    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            yield from node.items()
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from walk(child)

    schemas = document["components"]["schemas"]
    for name, value in walk(document):
        if name == "$ref":
            assert value.rsplit("/", 1)[1] in schemas
        if name == "pattern" and isinstance(value, str):
            assert r"\Z" not in value


async def test_each_resource_says_how_it_refuses(document: Any) -> None:
    for path, operations in document["paths"].items():
        if path.startswith("/oms/"):
            for operation in operations.values():
                assert {"401", "404", "422", "503"} <= set(operation["responses"])
