"""The scan of all that tests log and print, for secrets: a plugin of the whole run, loaded by tests/conftest.py.

Holds what a secret looks like and which ones there are. API keys and tokens are known by their shape, also those that
another process made; master keys and credentials of venues are noted when they are made or sealed in this one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import pytest

from oms import vault

SHAPES = re.compile(r"tw_[0-9a-f]{12}_[0-9a-f]{64}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{16,}")
# What a venue's secret looks like in tests that have to hand one to another process.
VENUE_SECRET = "venue-secret-5c1e09ab44"
NO_SECRETS = frozenset({"apiKey", "uid", "walletAddress"})  # fields of credentials that may be seen
LENGTH_MIN = 12  # a shorter one is a word that may stand anywhere
LETTERS_MIN = 8  # different ones: so may a row of zeros

known = {VENUE_SECRET}


def leaked(text: str) -> list[str]:
    """The secrets in a text."""
    return sorted({*SHAPES.findall(text), *(secret for secret in known if secret in text)})


def noting(make: Callable[[], str]) -> Callable[[], str]:
    def made() -> str:
        text = make()
        known.add(text)
        return text

    return made


def noting_sealed(seal: Callable[[Any, int, Mapping[str, str]], bytes]) -> Any:
    def sealed(self: vault.Vault, account_id: int, credentials: Mapping[str, str]) -> bytes:
        known.update(
            secret
            for name, secret in credentials.items()
            if name not in NO_SECRETS and len(secret) >= LENGTH_MIN and len(set(secret)) >= LETTERS_MIN
        )
        return seal(self, account_id, credentials)

    return sealed


def pytest_configure(config: pytest.Config) -> None:
    """Before anything imports these."""
    patch = pytest.MonkeyPatch()
    patch.setattr(vault, "new_master_key", noting(vault.new_master_key))
    patch.setattr(vault.Vault, "seal", noting_sealed(vault.Vault.seal))
    config.add_cleanup(patch.undo)
    # A client of tests only. It logs the URLs it asks, with the tokens of those who ask so; heard it is when some test
    # before has set the level of all loggers.
    logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test whose output of this phase has a secret in it has failed."""
    report = yield
    found = list(_found(report, call.when))
    if found:
        report.outcome = "failed"
        report.longrepr = "\n".join(found)
    return report


def _found(report: pytest.TestReport, when: str) -> Iterator[str]:
    for title, text in report.sections:
        if title.endswith(f" {when}"):
            for secret in leaked(text):
                line = next(line for line in text.splitlines() if secret[:LENGTH_MIN] in line)
                yield f"a secret is in the {title.lower()}: {line}"
