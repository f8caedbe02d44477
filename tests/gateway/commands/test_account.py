"""`tickwire account` as it is typed, on a real database: what is stored, sealed, and never said."""

from __future__ import annotations

import asyncio
import getpass
import io
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.commands import account
from oms import signing
from oms.journal import open_journal
from oms.model import Environment, Order, OrderState, PositionMode
from oms.store import admin
from oms.store.pool import Connection, connect
from oms.vault import Vault, VaultError, new_master_key
from oms.writes import Writes
from tests.gateway.commands.conftest import Ran
from tests.leaks import VENUE_SECRET
from tests.oms import full_rows

Tickwire = Callable[..., Ran]
Ask = Callable[[Callable[[Connection], Any]], Any]
GIVEN = {"apiKey": "public", "secret": VENUE_SECRET}
MASTER_KEYS = "TICKWIRE_AUTH__MASTER_KEYS"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: None) -> None:
    monkeypatch.setenv("TICKWIRE_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture(name="typed")
def _typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """What is on standard input."""

    def typed(text: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    return typed


def test_accounts_are_added_and_listed(tickwire: Tickwire, ask: Ask) -> None:
    assert tickwire("account", "add", "main", "sim").out == "Account 1 is there: main on sim, simulated, netting\n"
    options = ["--environment", "live", "--position-mode", "hedge", "--json"]
    assert json.loads(tickwire("account", "add", "real", "kraken", *options).out) == {
        "id": 2, "name": "real", "exchange": "kraken", "environment": "live", "position_mode": "hedge",
        "blocked": False, "requires_signing": False, "credentials": False,
    }  # fmt: skip
    first, second = ask(admin.accounts)
    assert (second.environment, second.position_mode) == (Environment.LIVE, PositionMode.HEDGE)
    assert first.epoch != second.epoch
    assert tickwire("account", "list").out.splitlines() == [
        "id  name  exchange  environment  position_mode  blocked  requires_signing  credentials",
        "1   main  sim       simulated    netting        no       no                no",
        "2   real  kraken    live         hedge          no       no                no",
    ]
    assert [row["name"] for row in json.loads(tickwire("account", "list", "--json").out)] == ["main", "real"]

    async def risk(connection: Connection) -> Any:
        return await admin.risk(connection, 2)

    assert ask(risk) is not None


def test_an_account_is_blocked(tickwire: Tickwire, ask: Ask) -> None:
    tickwire("account", "add", "main", "sim")
    assert tickwire("account", "block", "main").out == "Account main is blocked\n"
    assert ask(admin.accounts)[0].blocked
    assert tickwire("account", "unblock", "1").out == "Account main trades again\n"
    assert not ask(admin.accounts)[0].blocked


def test_an_account_takes_signed_commands_only(tickwire: Tickwire, ask: Ask) -> None:
    tickwire("account", "add", "main", "sim")
    assert tickwire("account", "require-signing", "main").out == "Account main takes signed commands only\n"
    tickwire("account", "block", "main")
    assert [(row.requires_signing, row.blocked) for row in ask(admin.accounts)] == [(True, True)]
    assert tickwire("account", "allow-unsigned", "1").out == "Account main takes unsigned commands, too\n"
    assert [(row.requires_signing, row.blocked) for row in ask(admin.accounts)] == [(False, True)]


def test_credentials_are_read_from_standard_input_and_sealed(
    tickwire: Tickwire, ask: Ask, typed: Callable[[bytes], None], tmp_path: Path
) -> None:
    tickwire("account", "add", "main", "sim")
    typed(json.dumps(GIVEN).encode())
    assert tickwire("account", "credentials", "main") == (0, "The credentials of main are stored\n", "")
    sealed = ask(admin.all_credentials)[1]
    assert VENUE_SECRET.encode() not in sealed
    assert Vault([(tmp_path / "state" / "master.key").read_text()]).open(1, sealed) == GIVEN
    assert tickwire("account", "list").out.splitlines()[1].endswith("yes")

    async def audit(connection: Connection) -> str:
        return str(await connection.fetch("SELECT a::text FROM audit_log AS a"))

    said = ask(audit)
    assert "account.credentials" in said
    assert VENUE_SECRET not in said


async def keep(dsn: str, order: Order) -> None:
    journal = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    await journal.append(Writes(orders={order.id: order}))
    await journal.close()


def test_credentials_are_not_replaced_while_orders_are_open_unless_they_open_the_same_account(
    tickwire: Tickwire, ask: Ask, typed: Callable[[bytes], None], dsn: str
) -> None:
    def give(*more: str) -> Ran:
        typed(json.dumps(GIVEN).encode())
        return tickwire("account", "credentials", "main", *more)

    tickwire("account", "add", "main", "sim")
    resting = full_rows.order(1, state=OrderState.SUBMITTED, closed_ns=None)
    asyncio.run(keep(dsn, resting))
    assert give().code == 0, "there were none before"
    before = ask(admin.all_credentials)
    refused = give()
    assert (refused.code, ask(admin.all_credentials)) == (1, before)
    assert "account main has open orders" in refused.err
    assert give("--same-account").code == 0
    asyncio.run(keep(dsn, full_rows.order(1, state=OrderState.CANCELED, version=resting.version + 1)))
    assert give().code == 0


def test_an_order_that_is_sent_while_credentials_are_typed_keeps_the_former_ones(
    tickwire: Tickwire, ask: Ask, typed: Callable[[bytes], None], dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = account._read

    def meanwhile(given: bytes) -> dict[str, str]:
        with ThreadPoolExecutor() as pool:
            pool.submit(asyncio.run, keep(dsn, full_rows.order(1, state=OrderState.SUBMITTED, closed_ns=None))).result()
        return read(given)

    tickwire("account", "add", "main", "sim")
    typed(json.dumps(GIVEN).encode())
    assert tickwire("account", "credentials", "main").code == 0
    before = ask(admin.all_credentials)
    monkeypatch.setattr(account, "_read", meanwhile)
    typed(json.dumps(GIVEN).encode())
    assert "account main has open orders" in tickwire("account", "credentials", "main").err
    assert ask(admin.all_credentials) == before


def test_no_order_is_sent_between_the_last_look_at_them_and_the_new_credentials(
    tickwire: Tickwire, typed: Callable[[bytes], None], dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order is written with its event, which counts the account's row on."""
    refused: list[str] = []
    store = admin.set_credentials

    async def meanwhile(connection: Connection, account_id: int, sealed: bytes) -> None:
        desk = await connect(dsn)
        try:
            await desk.execute("SET lock_timeout = '20ms'")
            await desk.execute("UPDATE accounts SET event_sequence = event_sequence + 1 WHERE id = $1", account_id)
        except asyncpg.LockNotAvailableError:
            refused.append("the order")
        finally:
            await desk.close()
        await store(connection, account_id, sealed)

    tickwire("account", "add", "main", "sim")
    monkeypatch.setattr(admin, "set_credentials", meanwhile)
    for _ in range(2):
        typed(json.dumps(GIVEN).encode())
        assert tickwire("account", "credentials", "main").code == 0
    assert refused == ["the order"] * 2


def test_credentials_that_others_store_meanwhile_are_not_replaced_while_orders_are_open(
    tickwire: Tickwire, ask: Ask, typed: Callable[[bytes], None], dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = account._read

    async def store(connection: Connection) -> None:
        await admin.set_credentials(connection, 1, b"sealed")

    def meanwhile(given: bytes) -> dict[str, str]:
        with ThreadPoolExecutor() as pool:
            pool.submit(ask, store).result()
            pool.submit(asyncio.run, keep(dsn, full_rows.order(1, state=OrderState.SUBMITTED, closed_ns=None))).result()
        return read(given)

    tickwire("account", "add", "main", "sim")
    monkeypatch.setattr(account, "_read", meanwhile)
    typed(json.dumps(GIVEN).encode())
    assert "account main has open orders" in tickwire("account", "credentials", "main").err
    assert ask(admin.all_credentials) == {1: b"sealed"}


def test_credentials_are_asked_for_on_a_terminal(
    tickwire: Tickwire, ask: Ask, typed: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_master_key()
    monkeypatch.setenv(MASTER_KEYS, json.dumps([key]))
    typed(b"")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f" {GIVEN.get(prompt.split()[0], '')} ")
    tickwire("account", "add", "main", "sim")
    assert tickwire("account", "credentials", "1").code == 0
    assert Vault([key]).open(1, ask(admin.all_credentials)[1]) == GIVEN


def test_a_master_key_is_changed(
    tickwire: Tickwire, ask: Ask, typed: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (tickwire("account", "master-key").out.strip() for _ in range(2))
    monkeypatch.setenv(MASTER_KEYS, json.dumps([old]))
    assert tickwire("account", "reseal").out == "Sealed under the first master key: no account has credentials\n"
    for name in ("main", "spare", "empty"):
        tickwire("account", "add", name, "sim")
    for name in ("main", "spare"):
        typed(json.dumps(GIVEN).encode())
        assert tickwire("account", "credentials", name).code == 0
    tickwire("user", "add", "ann")
    made = json.loads(tickwire("key", "create", "ann", "--json").out)["key"]
    monkeypatch.setenv(MASTER_KEYS, json.dumps([new]))
    assert tickwire("account", "reseal") == (
        1, "", "tickwire: sealed under a master key that is not configured any more, or changed\n",
    )  # fmt: skip
    monkeypatch.setenv(MASTER_KEYS, json.dumps([new, old]))
    assert tickwire("account", "reseal").out == "Sealed under the first master key: main, spare\n"
    sealed = ask(admin.all_credentials)
    assert {number: Vault([new]).open(number, each) for number, each in sealed.items()} == {1: GIVEN, 2: GIVEN}
    with pytest.raises(VaultError):
        Vault([old]).open(1, sealed[1])
    (key,) = ask(admin.api_keys)
    assert Vault([new]).open_key(key.prefix, key.sealed_signing) == signing.secret_of(made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "standard input is no JSON object of texts"),
        (b'{"secret": venue-secret', "standard input is no JSON object of texts"),
        (b'{"secret": 5}', "standard input is no JSON object of texts"),
        (b'{"sceret": "x"}', "no venue asks for sceret; there is apiKey, secret"),
        (b"{}", "no credential was given, and what is stored stays"),
        (b'{"secret": ""}', "no credential was given, and what is stored stays"),
    ],
)
def test_credentials_that_are_none_are_refused_unrepeated(
    tickwire: Tickwire, ask: Ask, typed: Callable[[bytes], None], text: bytes, message: str
) -> None:
    tickwire("account", "add", "main", "sim")
    typed(text)
    code, out, err = tickwire("account", "credentials", "main")
    assert (code, out) == (1, "")
    assert err.startswith(f"tickwire: {message}")
    assert "venue-secret" not in err
    assert ask(admin.all_credentials) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "main", "sim"), "there is an account named main already"),
        (("add", "", "sim"), "an account needs a name"),
        (("add", "two\nlines", "sim"), "an account's name is one line of text"),
        (("add", "12", "sim"), "an account's name is no number: numbers are given, and found by"),
        (("block", "mian"), "there is no account mian; there is main"),
        (("credentials", "mian"), "there is no account mian; there is main"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tickwire: Tickwire, ask: Ask, arguments: tuple[str, ...], message: str
) -> None:
    tickwire("account", "add", "main", "sim")
    assert tickwire("account", *arguments) == (1, "", f"tickwire: {message}\n")
    assert len(ask(admin.accounts)) == 1


def test_an_exchange_must_be_a_configured_one(tickwire: Tickwire, ask: Ask) -> None:
    message = "tickwire: no exchange elsewhere is configured; there is sim, kraken\n"
    assert tickwire("account", "add", "main", "elsewhere") == (1, "", message)
    Path("tickwire.toml").unlink()
    assert tickwire("account", "add", "main", "sim") == (1, "", "tickwire: no exchange sim is configured\n")
    assert ask(admin.accounts) == []


def test_an_exchange_must_have_what_the_environment_needs(tickwire: Tickwire, ask: Ask) -> None:
    refused = tickwire("account", "add", "main", "kraken", "--environment", "simulated")
    assert (refused.code, refused.out) == (1, "")
    assert "urls" in refused.err
    assert ask(admin.accounts) == []


@pytest.mark.parametrize("command", [["account", "credentials", "main"], ["account", "reseal"]])
def test_a_wrong_master_key_is_told(
    tickwire: Tickwire, dsn: str, typed: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    tickwire("account", "add", "main", "sim")
    monkeypatch.setenv(MASTER_KEYS, '["hunter2"]')
    typed(json.dumps(GIVEN).encode())
    code, _, err = tickwire(*command)
    assert (code, err) == (1, "tickwire: a master key is 32 bytes in URL-safe base64, and at least one is needed\n")
