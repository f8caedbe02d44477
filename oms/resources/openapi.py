"""The bodies of commands in the OpenAPI document, made from the very types that read them.

The desk reads a body itself, to keep every digit of a number, so that the framework cannot describe it. Must not know a
handler.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from oms.commands import BATCH_MAX, COMMANDS, DIGITS_MAX

MONEY: Final = rf"^[0-9]{{1,{DIGITS_MAX}}}(\.[0-9]{{1,{DIGITS_MAX}}})?$"


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """The document with what `POST /oms/commands` takes; the given one is changed."""
    document.update(_readable(document))
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(_schemas())
    command = {"$ref": "#/components/schemas/Command"}
    many = {"type": "array", "items": command, "minItems": 1, "maxItems": BATCH_MAX}
    document["paths"]["/oms/commands"]["post"]["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": {"anyOf": [command, many]}}},
    }
    return document


def _schemas() -> dict[str, Any]:
    payloads, schemas = msgspec.json.schema_components(COMMANDS.values(), ref_template="#/components/schemas/{name}")
    schemas["Command"] = {
        "title": "Command",
        "oneOf": [_envelope(command, payload) for command, payload in zip(COMMANDS, payloads, strict=True)],
    }
    return {name: _readable(schema) for name, schema in schemas.items()}


def _envelope(command: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": command,
        "type": "object",
        "properties": {
            "account_id": {"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
            "command": {"const": command},
            "payload": payload,
            "request_id": {"type": ["string", "null"], "minLength": 1, "maxLength": 128},
            "validate": {"type": "boolean", "default": False, "description": "Check everything and send nothing."},
        },
        "required": ["account_id", "command", "payload"],
        "additionalProperties": False,
    }


def _readable(schema: Any) -> Any:
    """In the regular expressions of JSON Schema, and with money as strings of digits."""
    if isinstance(schema, list):
        return [_readable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {"type": "string", "pattern": MONEY}
    return {
        name: value.replace(r"\Z", "$") if name == "pattern" and isinstance(value, str) else _readable(value)
        for name, value in schema.items()
    }
