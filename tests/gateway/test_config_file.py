"""Configuration: what a file and the environment may say, and how each mistake is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import config_file
from gateway.config import Config, DashboardConfig
from gateway.config_file import ConfigError, key_lines, load, where

GOOD = """
default_exchange = "kraken"

[server]
host = "0.0.0.0"
port = 9000

[exchanges.kraken]
class = "kraken"

[exchanges.testnet]
class = "binance"
sandbox = true
[exchanges.testnet.options]
apiKey = "hunter2"
options = { defaultType = "spot" }

[limits]
linger_s = 1.5

[log]
level = "debug"
"""


def read(folder: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    file = folder / "tickwire.toml"
    file.write_text(text)
    return load(file, environ or {})


def problems(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Each problem, with the folder cut off."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, environ)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_nothing_said_is_the_defaults() -> None:
    config = load(None, {})
    assert config == Config()
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8765)


def test_a_whole_file(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    assert (config.server.host, config.server.port, config.default_exchange) == ("0.0.0.0", 9000, "kraken")
    assert config.exchanges["testnet"].klass == "binance"
    assert config.exchanges["testnet"].sandbox
    assert config.exchanges["testnet"].options["options"] == {"defaultType": "spot"}
    assert config.limits.linger_s == 1.5
    assert config.log.level == "debug"


def test_the_only_exchange_is_the_default_one(tmp_path: Path) -> None:
    assert read(tmp_path, '[exchanges.sim]\nclass = "binance"').default_exchange == "sim"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environ = {
        "TICKWIRE_SERVER__PORT": "9001",
        "TICKWIRE_LIMITS__LINGER_S": "0.25",
        "TICKWIRE_EXCHANGES__TESTNET__SANDBOX": "false",
        "TICKWIRE_EXCHANGES__TESTNET__OPTIONS": '{"verbose": true}',
        "TICKWIRE_EXCHANGES__SIM__CLASS": "binance",
        "TICKWIRE_DEFAULT_EXCHANGE": "sim",
        "TICKWIRE_REQUIRE_SPEEDUPS": "1",
        "PATH": "x",
    }
    config = read(tmp_path, GOOD, environ)
    assert (config.server.port, config.limits.linger_s, config.default_exchange) == (9001, 0.25, "sim")
    assert not config.exchanges["testnet"].sandbox
    assert config.exchanges["testnet"].options == {"verbose": True}
    assert set(config.exchanges) == {"kraken", "testnet", "sim"}


def test_the_database_has_a_variable_of_its_own(tmp_path: Path) -> None:
    text = '[oms]\ndatabase_url = "postgresql://one"'
    config = read(tmp_path, text, {"TICKWIRE_DATABASE_URL": "postgresql://ann:hunter2@two"})
    assert config.oms.database_url == "postgresql://ann:hunter2@two"
    assert "hunter2" not in repr(config)
    assert read(tmp_path, text).oms.database_url == "postgresql://one"
    assert read(tmp_path, "").oms.database_url is None


DASHBOARD = """
[dashboard]
enabled = true
symbols = ["BTC/USDT"]
ping_interval_s = 20
price_update_interval_s = 2
portfolio_update_interval_s = 4
connections_max = 9
account_id = 3
"""


def test_the_dashboard_has_variables_of_its_own(tmp_path: Path) -> None:
    config = read(tmp_path, DASHBOARD).dashboard
    assert config == DashboardConfig(
        symbols=["BTC/USDT"], ping_interval_s=20, price_update_interval_s=2, portfolio_update_interval_s=4,
        connections_max=9, account_id=3,
    )  # fmt: skip
    environ = {
        "WEBSOCKET_ENABLED": "false",
        "WEBSOCKET_PING_INTERVAL": "40",
        "WEBSOCKET_PRICE_UPDATE_INTERVAL": "1.5",
        "WEBSOCKET_PORTFOLIO_UPDATE_INTERVAL": "6",
        "WEBSOCKET_MAX_CONNECTIONS": "100",
        "TICKWIRE_DASHBOARD_ACCOUNT_ID": "4",
    }
    config = read(tmp_path, DASHBOARD, environ).dashboard
    assert config == DashboardConfig(
        enabled=False, symbols=["BTC/USDT"], ping_interval_s=40, price_update_interval_s=1.5,
        portfolio_update_interval_s=6, connections_max=100, account_id=4,
    )  # fmt: skip
    environ |= {"TICKWIRE_DASHBOARD__CONNECTIONS_MAX": "5", "TICKWIRE_DASHBOARD__ENABLED": "true"}
    config = read(tmp_path, DASHBOARD, environ).dashboard
    assert (config.connections_max, config.enabled) == (5, True), "the name of the setting counts before the other one"


def test_a_mistake_in_a_variable_of_its_own_is_told_by_its_name() -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, {"WEBSOCKET_MAX_CONNECTIONS": "many"})
    where = "environment variable WEBSOCKET_MAX_CONNECTIONS: dashboard.connections_max"
    assert str(refused.value).startswith(f"{where}: expected `int`")


def test_a_dashboard_is_pinged_before_it_is_given_up() -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, {"WEBSOCKET_PING_INTERVAL": "90"})
    assert str(refused.value) == (
        "environment variable WEBSOCKET_PING_INTERVAL: dashboard.ping_interval_s: must be below limits.silence_s, "
        "which is 90"
    )


def test_limits_that_several_processes_cannot_be_served_with_are_told_with_their_names_and_for_one_they_hold(
    tmp_path: Path,
) -> None:
    text = "[limits]\nlinger_s = 1\nqueue_bytes_max = 300000\n[server]\nworkers = {}\n"
    assert read(tmp_path, text.format(1)).limits.queue_bytes_max == 300_000
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text.format(2))
    assert str(refused.value).endswith(
        "tickwire.toml:3: limits.queue_bytes_max: with 2 `workers`: needs queue_append_bytes + link_window_bytes <= "
        "queue_bytes_max, and 262144 + 65536 is more than 300000: who only reads slowly would be closed (4008)"
    )
    environ = {"TICKWIRE_LIMITS__LINK_WINDOW_BYTES": "30000"}
    assert read(tmp_path, text.format(2), environ).limits.link_window_bytes == 30_000


def test_the_environment_alone_is_enough() -> None:
    assert load(None, {"TICKWIRE_EXCHANGES__KRAKEN__CLASS": "kraken"}).default_exchange == "kraken"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server]\nprot = 1", "tickwire.toml:2: server.prot: unknown; did you mean `port`?"),
        ("[serve]\nport = 1", "tickwire.toml:1: serve: unknown; did you mean `server`?"),
        (
            "zzz = 1",
            "tickwire.toml:1: zzz: unknown; there is server, default_exchange, exchanges, limits, auth, oms, "
            "dashboard, news, portfolio, log",
        ),
        (
            "\n[server]\nport = 70000",
            "tickwire.toml:3: server.port: expected `int` <= 65535; the default is 8765",
        ),
        ('[server]\nport = "http"', "tickwire.toml:2: server.port: expected `int`, got `str`; the default is 8765"),
        ("server = 5", "tickwire.toml:1: server: expected a table, got `int`"),
        (
            '[exchanges.a]\nclass = "b"\noptions = "c"',
            "tickwire.toml:3: exchanges.a.options: expected a table, got `str`",
        ),
        (
            '[log]\nlevel = "loud"',
            "tickwire.toml:2: log.level: invalid enum value 'loud'; there is debug, info, warning, error; "
            "the default is 'info'",
        ),
        (
            '[server]\nport = 1\nhost = "not a host"',
            "tickwire.toml:3: server.host: neither an address nor the name of a host; the default is '127.0.0.1'",
        ),
        (
            '[server]\nhost = "[::1]"',
            "tickwire.toml:2: server.host: brackets are for URLs: write an IPv6 address without them, as in '::1'; "
            "the default is '127.0.0.1'",
        ),
        (
            '[exchanges."a:b"]\nclass = "kraken"',
            'tickwire.toml:1: exchanges."a:b": no name for an exchange: clients write NAME:SYMBOL, so it is not '
            "empty and has no ':'",
        ),
        (
            '[exchanges.a]\nclass = "kraken"\n[exchanges.""]\nclass = "kraken"',
            'tickwire.toml:3: exchanges."": no name for an exchange: clients write NAME:SYMBOL, so it is not '
            "empty and has no ':'",
        ),
        (
            "[limits]\ndrain_ms = 1\nlinger_s = -1",
            "tickwire.toml:3: limits.linger_s: must not be negative; the default is 5.0",
        ),
        (
            '[exchanges.a]\nclass = "kraken"\nstale_after_ms = { ticks = 5 }',
            "tickwire.toml:3: exchanges.a.stale_after_ms: no such channel: ticks",
        ),
        ("[exchanges.sim]\nsandbox = true", "tickwire.toml:1: exchanges.sim: `class` is missing: it has no default"),
        ("[exchanges.sim]\nclass = 5", "tickwire.toml:2: exchanges.sim.class: expected `str`, got `int`"),
        (
            '[news.feeds.wire]\nurl = "file:///feed"',
            "tickwire.toml:2: news.feeds.wire.url: must be http://.. or https://..",
        ),
        (
            "[limits]\nheartbeat_s = 1000",
            "tickwire.toml:2: limits.heartbeat_s: needs heartbeat_s < silence_s; the default is 30.0",
        ),
        (
            'default_exchange = "krakn"\n[exchanges.kraken]\nclass = "kraken"',
            "tickwire.toml:1: default_exchange: no exchange `krakn` is configured: unknown; did you mean `kraken`?",
        ),
        (
            '[news.feeds.wire]\nurl = "https://example.org/rss"\ninterval_s = 1',
            "tickwire.toml:3: news.feeds.wire.interval_s: expected `float` >= 10.0; the default is 300.0",
        ),
        (
            'default_exchange = "sim"',
            "tickwire.toml:1: default_exchange: no exchange is configured: add a table [exchanges.sim]",
        ),
    ],
)
def test_a_mistake_is_explained_where_it_stands(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = '[server]\nprot = 1\nhots = "x"\nport = -1\n[log]\nformat = "xml"\n[exchanges.a]\nklass = "b"\nclass = "b"'
    assert {tuple(line.split(": ")[:2]) for line in problems(tmp_path, text)} == {
        ("tickwire.toml:2", "server.prot"),
        ("tickwire.toml:3", "server.hots"),
        ("tickwire.toml:4", "server.port"),
        ("tickwire.toml:6", "log.format"),
        ("tickwire.toml:8", "exchanges.a.klass"),
    }


def test_rules_are_explained_one_after_the_other(tmp_path: Path) -> None:
    text = "[limits]\nring_bytes_max = -1\nsilence_s = 20\nlinger_s = -1\n[server]\nport = -1"
    found = problems(tmp_path, text)
    assert [line.partition(": ")[0] for line in found] == [f"tickwire.toml:{line}" for line in (3, 2, 4, 6)]


@pytest.mark.parametrize(
    ("line", "is_bare"),
    [
        *(("host = localhost", True), ("host = 127.0.0.1", True), ("host = ", False), ('host = "x', False)),
        *(("host = {x", False), ("host localhost", False), ("port = 1\nport = 2", False), ("[server", False)),
    ],
)
def test_quotes_are_advised_where_they_are_missing(tmp_path: Path, line: str, is_bare: bool) -> None:
    (problem,) = problems(tmp_path, f"[server]\n{line}\n")
    assert ("not TOML: " in problem, "strings are written in double quotes" in problem) == (True, is_bare)


def test_what_is_not_toml_says_the_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "[server]\nhost = localhost\n")
    assert problem.startswith("tickwire.toml:2: not TOML: ")
    (problem,) = problems(tmp_path, '[server]\nhost = """x')
    assert problem.startswith("tickwire.toml:2: not TOML: ")


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("TICKWIRE_SERVER__PORT", "x", "server.port: expected `int`, got `str`; the default is 8765"),
        ("TICKWIRE_SERVER__PROT", "1", "server.prot: unknown; did you mean `port`?"),
        ("TICKWIRE_SERVR__PORT", "1", "servr.port: unknown; did you mean `server`?"),
        ("TICKWIRE_DEFAULT_EXCHANGE__X", "1", "default_exchange.x: default_exchange is a single value, not a table"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, variable: str, value: str, problem: str
) -> None:
    assert f"environment variable {variable}: {problem}" in problems(tmp_path, GOOD, {variable: value})


@pytest.mark.parametrize(
    ("variable", "value", "meant"),
    [
        ("TICKWIRE_SERVER_PORT", "9000", "TICKWIRE_SERVER__PORT"),
        ("TICKWIRE_PORT", "9000", "TICKWIRE_SERVER__PORT"),
        ("TICKWIRE_SERVR_PORT", "9000", "TICKWIRE_SERVER__PORT"),
        ("TICKWIRE_LIMITS_DRAIN_MS", "1", "TICKWIRE_LIMITS__DRAIN_MS"),
        ("TICKWIRE_LOG_LEVEL", "debug", "TICKWIRE_LOG__LEVEL"),
        ("TICKWIRE_DEFAULT_EXCHANG", "sim", "TICKWIRE_DEFAULT_EXCHANGE"),
        ("TICKWIRE_EXCHANGES_SIM_CLASS", "binance", "TICKWIRE_EXCHANGES__NAME__KEY"),
    ],
)
def test_a_misspelt_override_is_told_its_spelling(tmp_path: Path, variable: str, value: str, meant: str) -> None:
    found = problems(tmp_path, GOOD, {variable: value})
    assert found == [f"environment variable {variable}: is no setting; did you mean `{meant}`?"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *((f"TICKWIRE_{name}_SPEEDUPS", "1") for name in ("REQUIRE", "SKIP", "DEBUG")),
        *(
            (f"TICKWIRE_{name}", "x")
            for name in ("RECORDED_DATA", "LOAD_TOOLS", "PEERS_PYTHON", "E2E_SPEED", "STATE_DIR")
        ),
        # What Kubernetes tells about a service `tickwire`, or `tickwire-server`.
        ("TICKWIRE_SERVICE_PORT", "8765"),
        ("TICKWIRE_SERVER_SERVICE_HOST", "10.0.0.1"),
        ("TICKWIRE_PORT", "tcp://10.0.0.1:8765"),
        ("TICKWIRE_PORT_8765_TCP_ADDR", "10.0.0.1"),
        ("TICKWIRE_CLIENT_NAME", "x"),
    ],
)
def test_variables_that_are_no_overrides_are_let_be(tmp_path: Path, variable: str, value: str) -> None:
    assert read(tmp_path, GOOD, {variable: value}) == read(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("5000", 5000), ("false", False), ("null", None), ("2.5", 2.5), ('["a"]', ["a"])),
        *(("spot", "spot"), ("http://a:1", "http://a:1"), ('"5000"', "5000"), ("", ""), ("007", "007")),
    ],
)
def test_a_value_is_json_where_it_can_be(tmp_path: Path, text: str, value: object) -> None:
    config = read(tmp_path, GOOD, {"TICKWIRE_EXCHANGES__KRAKEN__OPTIONS__TIMEOUT": text})
    assert config.exchanges["kraken"].options == {"timeout": value}


def test_names_in_capitals_find_those_of_the_file(tmp_path: Path) -> None:
    text = '[exchanges.simA]\nclass = "binance"\noptions = { enableRateLimit = true }'
    environ = {
        "TICKWIRE_EXCHANGES__SIMA__CLASS": "kraken",
        "TICKWIRE_EXCHANGES__SIMA__OPTIONS__ENABLERATELIMIT": "false",
    }
    config = read(tmp_path, text, environ)
    assert list(config.exchanges) == ["simA"]
    assert config.exchanges["simA"].klass == "kraken"
    assert config.exchanges["simA"].options == {"enableRateLimit": False}
    place = where(tmp_path / "tickwire.toml", environ, ("exchanges", "simA", "class"))
    assert place == "environment variable TICKWIRE_EXCHANGES__SIMA__CLASS"


def test_a_name_of_mixed_case_is_taken_as_written(tmp_path: Path) -> None:
    environ = {
        "TICKWIRE_EXCHANGES__KRAKEN__OPTIONS__enableRateLimit": "false",
        "TICKWIRE_EXCHANGES__KRAKEN__OPTIONS": '{"apiKey": "x"}',
        "TICKWIRE_EXCHANGES__simB__CLASS": "binance",
    }
    config = read(tmp_path, GOOD, environ)
    assert config.exchanges["kraken"].options == {"apiKey": "x", "enableRateLimit": False}
    assert config.exchanges["simB"].klass == "binance"


def test_names_that_differ_in_case_alone_must_be_written_out(tmp_path: Path) -> None:
    text = '[exchanges.simA]\nclass = "binance"\n[exchanges.Sima]\nclass = "binance"'
    (problem,) = problems(tmp_path, text, {"TICKWIRE_EXCHANGES__SIMA__CLASS": "kraken"})
    assert problem.endswith("exchanges.sima.class: may be simA or Sima: write it as the file does")
    assert read(tmp_path, text, {"TICKWIRE_EXCHANGES__Sima__CLASS": "kraken"}).exchanges["Sima"].klass == "kraken"


def test_what_the_environment_adds_is_blamed_on_it(tmp_path: Path) -> None:
    variable = "TICKWIRE_EXCHANGES__SIMB__SANDBOX"
    (problem,) = problems(tmp_path, GOOD, {variable: "true"})
    assert problem == f"environment variable {variable}: exchanges.simb: `class` is missing: it has no default"


def test_broken_json_in_the_environment_is_said(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD, {"TICKWIRE_EXCHANGES__KRAKEN__OPTIONS": '{"a": }'})
    assert "looks like JSON but is not" in problem


def test_no_message_repeats_a_secret(tmp_path: Path) -> None:
    text = '[exchanges.a]\nclass = "kraken"\noptions = "hunter2"\n[exchanges.b]\nclass = "kraken"\npassword = "hunter2"'
    found = problems(tmp_path, text, {"TICKWIRE_EXCHANGES__C__OPTIONS": '{"secret": hunter2}'})
    assert len(found) >= 1
    assert "hunter2" not in "\n".join(found)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; name another with --config"):
        load(tmp_path / "nope.toml", {})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {})


def test_key_lines_finds_tables_quoted_and_dotted_keys() -> None:
    text = '# no = 1\n[a."b.c"]\nx.y = 1\n"z z" = 2\n[[list]]\nk = """\nnot = 1\n"""\n'
    lines = key_lines(text)
    assert lines["a", "b.c"] == 2
    assert lines["a", "b.c", "x", "y"] == 3
    assert lines["a", "b.c", "z z"] == 4
    assert lines["list", "k"] == 6


def test_a_window_that_does_not_fit_with_no_limit_set_is_told_as_the_file_s() -> None:
    problem = config_file._link_window({}, config_file.Origin("tickwire.toml", {}, {}), ValueError("does not fit"))
    assert problem == config_file.Problem("tickwire.toml", "limits.link_window_bytes", "does not fit")
