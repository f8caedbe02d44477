"""The HTTP resources, through the ASGI application."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar, post
from litestar.params import JSONBody
from litestar.testing import TestClient
from msgspec import Struct

from gateway.core.key import PRIVATE_CHANNELS, STREAM_CHANNELS
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net import http
from gateway.stats import Stats, Tally


class Nothing:
    """A fan-out, a hub and sessions without traffic."""

    late = 0

    def counters(self) -> dict[str, int]:
        return dict.fromkeys(("messages", "bytes", "conflated", "skipped", "send_errors", "gaps", "overflows"), 0)

    def latency_buckets(self) -> list[tuple[int, int]]:
        return []

    def connections(self) -> int:
        return 0

    def subscriptions(self) -> int:
        return 0


@post("/boom", sync_to_thread=False)
def boom() -> None:
    raise RuntimeError("a detail nobody may read")


@post("/refused", sync_to_thread=False)
def refused() -> None:
    raise TickwireError("rate_limited", "slow down", details={"a": 1}, retry_after_ms=1_500)


@post("/body", sync_to_thread=False)
def body(data: JSONBody[dict[str, int]]) -> dict[str, int]:
    return data


class Shape(Struct, forbid_unknown_fields=True):
    number: int
    inner: Shape | None = None


@post("/shape", sync_to_thread=False)
def shape(data: JSONBody[Shape]) -> int:
    return data.number


@post("/deep", sync_to_thread=False, request_max_body_size=200_000)
def deep(data: JSONBody[list[Any]]) -> int:
    return len(data)


@post("/wide", sync_to_thread=False, request_max_body_size=200_000)
def wide(data: JSONBody[Shape]) -> int:
    return data.number


CHECKS = {"listening": True, "sources": True}


@pytest.fixture(name="client")
def _client() -> Iterator[TestClient[Litestar]]:
    stats = Stats(fanned=Nothing(), published=Nothing(), connected=Nothing(), sources={}, tally=Tally(), started_s=0.0)
    CHECKS.update(listening=True, sources=True)
    remarks = {"accounts": lambda: False}
    app = http.build(stats, lambda: CHECKS, Limits(http_body_bytes_max=100), "1.2.3", remarks=remarks)
    for handler in (boom, refused, body, shape, deep, wide):
        app.register(handler)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_health(client: TestClient[Litestar]) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_ready_only_when_every_check_is_whatever_else_is_told(client: TestClient[Litestar]) -> None:
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "checks": CHECKS, "accounts": False})
    CHECKS["sources"] = False
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"ready": False, "checks": CHECKS, "accounts": False})


def test_metrics_are_prometheus_text(client: TestClient[Litestar]) -> None:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert "\ntickwire_connections 0.0\n" in response.text


def test_channels(client: TestClient[Litestar]) -> None:
    listed = client.get("/api/ws/channels").json()
    names = [row["name"] for row in listed["channels"]]
    assert names == [*STREAM_CHANNELS, *PRIVATE_CHANNELS]
    assert {"name": "trades", "type": "trade", "delivery": "append", "private": False} in listed["channels"]
    assert {"name": "orders", "type": "order", "delivery": "critical", "private": True} in listed["channels"]
    assert listed["throttle_tiers_ms"][:3] == [0, 50, 100]


def test_status(client: TestClient[Litestar]) -> None:
    assert client.get("/api/ws/status").json()["watches"] == []


def test_the_description_of_the_resources(client: TestClient[Litestar]) -> None:
    description = client.get("/openapi.json").json()
    assert description["info"] == {"title": "Tickwire", "version": "1.2.3"}
    assert {"/healthz", "/readyz", "/metrics", "/api/ws/channels", "/api/ws/status"} <= set(description["paths"])


def test_no_page_loads_anything_from_elsewhere(client: TestClient[Litestar]) -> None:
    for path in ("/", "/docs", "/schema", "/openapi.json/swagger", "/openapi.json/redoc"):
        response = client.get(path)
        assert response.status_code == 404, path
        assert not re.search(r"<script|<link|://", response.text), path


@pytest.mark.parametrize(
    ("request_line", "content", "status", "code"),
    [
        ("GET /nope", None, 404, "unsupported_action"),
        ("POST /healthz", None, 405, "unsupported_action"),
        ("POST /body", b"{", 422, "validation_error"),
        ("POST /body", b'{"a":"b"}', 422, "validation_error"),
        ("POST /body", json.dumps({"a" * 100: 1}).encode(), 413, "validation_error"),
        ("POST /boom", None, 500, "internal_error"),
        ("POST /refused", None, 429, "rate_limited"),
        ("GET /v1/stream", None, 426, "unsupported_action"),
        ("GET /ws", None, 426, "unsupported_action"),
        ("GET /ws/account/main", None, 426, "unsupported_action"),
    ],
)
def test_refusals_are_in_words_of_the_catalogue(
    client: TestClient[Litestar], request_line: str, content: bytes | None, status: int, code: str
) -> None:
    response = client.request(*request_line.split(), content=content)
    answer: dict[str, Any] = response.json()
    assert (response.status_code, answer["code"]) == (status, code)
    assert answer["request_id"]
    assert "nobody may read" not in response.text


def test_what_of_a_body_is_wrong_is_named(client: TestClient[Litestar]) -> None:
    answer = client.request("POST", "/body", content=b'{"a":"b"}').json()
    assert answer["message"].startswith(f"{answer['details']['field']}: ")
    assert not client.get("/nope").json().get("details")


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "number"), ({"number": "x"}, "number"), ({"number": 1, "more": 1}, "more"), ([], "body"),
        ({"number": 1, "inner": {}}, "inner.number"),
    ],
)  # fmt: skip
def test_a_field_that_is_missing_or_too_much_is_named(client: TestClient[Litestar], content: Any, field: str) -> None:
    answer = client.post("/shape", json=content)
    assert (answer.status_code, answer.json()["details"]) == (422, {"field": field})
    assert answer.json()["message"].startswith(f"{field}: ")


def test_a_body_without_end_to_its_depth_is_refused_like_any_other(client: TestClient[Litestar]) -> None:
    answer = client.post("/deep", content=b"[" * 100_000, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


def test_a_refusal_quotes_a_name_in_part(client: TestClient[Litestar]) -> None:
    named = client.post("/wide", json={"a" * 5_000: 1}).json()
    assert (len(named["message"]), len(named["details"]["field"])) == (http.SENTENCE_CHARS_MAX,) * 2


def test_a_refusal_does_not_repeat_a_token(client: TestClient[Litestar]) -> None:
    response = client.post("/body?token=hunter2&x=1", content=b'{"a": "b"}')
    assert response.status_code == 422
    assert "hunter2" not in response.text
    missing = client.get("/nope?token=hunter2")
    assert (missing.status_code, "hunter2" in missing.text) == (404, False)


def test_a_refusal_says_all_it_knows(client: TestClient[Litestar]) -> None:
    response = client.post("/refused")
    answer = response.json()
    assert (answer["details"], answer["retry_after_ms"]) == ({"a": 1}, 1_500)
    assert response.headers["retry-after"] == "2"
    assert client.post("/healthz").headers["allow"] == "GET, OPTIONS"
    stream = client.get("/v1/stream")
    assert (stream.headers["upgrade"], stream.headers["sec-websocket-version"]) == ("websocket", "13")
