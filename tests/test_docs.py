"""The other documents against the code: links, settings, and the simulated exchange's endpoints."""

from __future__ import annotations

import argparse
import ast
import json
import re
from pathlib import Path
from typing import cast

import msgspec
import pytest
from litestar import Litestar
from litestar.di import Provide

from gateway.commands.demo import orders_to_try
from gateway.commands.demo_account import Trades
from gateway.config import (
    AuthConfig,
    Config,
    DashboardConfig,
    FeedConfig,
    JwtConfig,
    JwtKeyConfig,
    LogConfig,
    OmsConfig,
    PortfolioConfig,
    ServerConfig,
)
from gateway.config_file import load
from gateway.limits import Limits
from gateway.sources.config import STALE_AFTER_MS, ExchangeConfig
from gateway.sources.sim import sim_options
from loadtest.exchange import cli as exchange_cli
from loadtest.exchange.server import ExchangeServer
from loadtest.exchange.synthetic import SyntheticFeed
from oms.commands import COMMANDS
from oms.model import OrderState
from oms.resources.doors import Service
from oms.resources.router import router
from oms.venues.mt5_link import Mt5Options
from tests.conftest import ROOT
from tests.docs_parts import anchors, fences, table, text_of

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/protocol.md", "docs/configuration.md",
             "docs/exchange.md", "docs/oms.md", "docs/accounts.md", "docs/driver.md", "docs/performance.md",
             "docs/dependencies.md", "docs/deployment.md", "docs/load.md", "docs/security.md",
             "docs/targets.md", "docs/benchmarks.md", "docs/scaling.md", "docs/workers.md", "docs/soak.md")  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(name)):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), f"{name}: {target}: no such file"
        assert not anchor or anchor in anchors(path), f"{name}: {target}: no such heading"


def test_every_page_is_to_be_read_on() -> None:
    _before, _heading, after = text_of("README.md").partition("\n## Read on\n")
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert pages == {page for page in re.findall(r"^- \[([^]]+)\]", after, re.MULTILINE) if page.startswith("docs/")}


def test_the_client_in_the_readme_is_the_example() -> None:
    def main_of(source: str) -> str:
        found = [node for node in ast.parse(source).body if isinstance(node, ast.AsyncFunctionDef)]
        return ast.dump(found[0])

    (shown,) = fences("README.md", "python")
    assert main_of(shown) == main_of(text_of("examples/quotes.py"))
    assert len([line for line in shown.splitlines() if line]) <= 25, "short enough to be read"


def test_the_readme_has_one_place_for_figures() -> None:
    assert re.search(r"^<!-- bench:begin -->\n.*^<!-- bench:end -->$", text_of("README.md"), re.MULTILINE | re.DOTALL)


def test_targets_that_are_named_exist() -> None:
    makefile = text_of("Makefile")
    for target in re.findall(r"`?make (\w+)", text_of("README.md")):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_commands_and_resources_of_orders_are_told() -> None:
    assert [row.name for row in table("docs/oms.md", "## Commands")] == list(COMMANDS)
    for row, payload in zip(table("docs/oms.md", "## Commands"), COMMANDS.values(), strict=True):
        assert set(payload.__struct_fields__) <= set(re.findall(r"\w+", row.value)), row.name
    states = " ".join(row.name for row in table("docs/oms.md", "## States of an order"))
    assert set(re.findall(r"[A-Z_]{5,}", states)) == {state.value for state in OrderState}
    paths = set(re.findall(r"`(?:GET |POST )?(/oms/[a-z_/{}]+)`", text_of("docs/oms.md")))
    nobody = {"principal": Provide(lambda: None, sync_to_thread=False)}
    served = {
        route.path
        for route in Litestar([router(cast("Service", None), int)], dependencies=nobody, logging_config=None).routes
    }
    assert {re.sub(r":\w+", "", path) for path in served if path.startswith("/oms/")} == paths


def test_the_demo_shows_the_commands_of_the_readme() -> None:
    shown = orders_to_try(8765, Trades(1, "tw_.."))
    lines = [line for fence in fences("README.md", "sh") for line in fence.splitlines() if "/oms/" in line]
    assert lines[:4] == [line.strip() for line in shown.splitlines() if line.startswith("  curl")]


# --- configuration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "struct"),
    [
        ("## `[server]`", ServerConfig),
        ("## `[auth]`", AuthConfig),
        ("## `[auth.jwt]`", JwtConfig),
        ("Each is a table `[[auth.jwt.keys]]`:", JwtKeyConfig),
        ("## `[oms]`", OmsConfig),
        ("## `[dashboard]`", DashboardConfig),
        ("## `[portfolio]`", PortfolioConfig),
        ("## `[exchanges.NAME]`", ExchangeConfig),
        ("## `[news.feeds.NAME]`", FeedConfig),
        ("## `[log]`", LogConfig),
        ("## `[limits]`", Limits),
    ],
)
def test_every_setting_is_told_with_its_default(heading: str, struct: type[msgspec.Struct]) -> None:
    shown = {row.name: row.value for row in table("docs/configuration.md", heading)}
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    assert list(shown) == list(fields)
    for name, value in shown.items():
        field = fields[name]
        if value == "required":
            assert field.required
            continue
        default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        assert json.loads(value) == msgspec.to_builtins(default), name


def test_top_level_settings_are_told() -> None:
    text = text_of("docs/configuration.md")
    assert all(f"`{name}`" in text for name in Config.__struct_fields__)
    assert ", ".join(f"{channel} {budget}" for channel, budget in STALE_AFTER_MS.items()) in text


def test_every_option_of_a_terminal_is_told_with_its_default() -> None:
    shown = {row.name: json.loads(row.value) for row in table("docs/accounts.md", "## At MetaTrader 5")}
    assert shown == msgspec.structs.asdict(Mt5Options())


@pytest.mark.parametrize("name", ["README.md", "docs/configuration.md", "docs/accounts.md"])
def test_configurations_load(name: str, tmp_path: Path) -> None:
    for fence in fences(name, "toml"):
        file = tmp_path / "tickwire.toml"
        file.write_text(fence, encoding="utf-8")
        config = load(file, {})
        if "sim" in config.exchanges:
            assert config.exchanges["sim"].options == sim_options("http://127.0.0.1:9001")


def test_environment_overrides_load() -> None:
    (fence,) = fences("docs/configuration.md", "sh")
    environ = dict(line.split("=", 1) for line in fence.splitlines())
    environ["TICKWIRE_EXCHANGES__KRAKEN__CLASS"] = "kraken"
    config = load(None, {name: value.strip("'") for name, value in environ.items()})
    assert (config.server.port, config.default_exchange, config.limits.drain_ms) == (9000, "kraken", 2000)
    options = {"apiKey": "..", "secret": "..", "timeout": 5000, "enableRateLimit": False}
    assert config.exchanges["binance"].options == options


# --- the simulated exchange -------------------------------------------------------------------------------------


def test_options_of_the_exchange_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    parsers: list[argparse.ArgumentParser] = []

    def keep(parser: argparse.ArgumentParser, _argv: object) -> None:
        parsers.append(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", keep)
    exchange_cli._arguments([])
    options = {option for action in parsers[0]._actions for option in action.option_strings}
    shown = " ".join(row.name for row in table("docs/exchange.md", "# The simulated exchange"))
    assert set(re.findall(r"--[\w-]+", shown)) == options - {"-h", "--help"}


async def test_endpoints_and_faults_of_the_exchange_are_told() -> None:
    server = ExchangeServer(lambda streams: SyntheticFeed(streams, symbols=1, rate=0, seed=1))
    text = text_of("docs/exchange.md")
    shown = {(method, path) for method, path in re.findall(r"`(GET|POST) (/admin/\w+)`", text)}
    app = server._runner.app
    assert app is not None
    routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    assert shown == {(method, path) for method, path in routes if path.startswith("/admin/") and method != "HEAD"}
    assert {row.name for row in table("docs/exchange.md", "### Faults")} == set(server.faults._kinds)
    rest = {path.removeprefix("/api/v3/") for _, path in routes if path.startswith("/api/v3/")}
    assert all(f"`{path}`" in text for path in rest)
    assert all(f"`{method}`" in text for method in server._sockets._methods)
