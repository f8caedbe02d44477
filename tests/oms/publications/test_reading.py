"""Feeds read in another process: the same news, and an end to what takes too much."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime

import pytest

from oms.publications import entries, reading
from oms.publications.entries import NotAFeedError, Symbols
from oms.publications.reading import Readings
from tests.oms.publications.test_entries import ATOM, RSS

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SYMBOLS = Symbols(["ALL"], {"BTC/USDT": ["bitcoin"]})


async def test_the_news_are_those_that_would_be_read_here() -> None:
    found = await asyncio.gather(*(Readings().read(each.encode(), SYMBOLS, NOW) for each in (RSS, ATOM)))
    assert found == [entries.read(each.encode(), SYMBOLS, NOW) for each in (RSS, ATOM)]


async def test_what_takes_too_long_is_ended_and_no_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    """This one would take minutes."""
    monkeypatch.setattr(reading, "SECONDS_MAX", 0.01)
    began: list[asyncio.subprocess.Process] = []
    begin = asyncio.create_subprocess_exec

    async def noted(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        began.append(await begin(*arguments, **options))  # type: ignore[arg-type]  # as it was called
        return began[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    with pytest.raises(NotAFeedError, match="too long"):
        await Readings().read(b"<rss><channel>" + b"<a>" * 1_000_000, SYMBOLS, NOW)
    assert [process.returncode for process in began] == [-9]


async def test_the_other_process_has_little_time_and_memory() -> None:
    code = (
        "import resource as r; from oms.publications import reading; reading._limit(); "
        "print(*r.getrlimit(r.RLIMIT_CPU), *r.getrlimit(r.RLIMIT_AS))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    time_s, memory_bytes = reading.SECONDS_MAX, reading.MEMORY_BYTES_MAX
    assert [int(each) for each in told.split()] == [time_s, time_s, memory_bytes, memory_bytes]


async def test_what_is_no_feed_is_none_in_another_process_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKWIRE_SECRET", "hunter2")
    seen: list[dict[str, str]] = []
    begin = asyncio.create_subprocess_exec

    async def noted(*arguments: str, env: dict[str, str], **options: object) -> asyncio.subprocess.Process:
        seen.append(env)
        return await begin(*arguments, env=env, **options)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    with pytest.raises(NotAFeedError, match="no entry"):
        await Readings().read(b"hello", SYMBOLS, NOW)
    assert [list(each) for each in seen] == [["PYTHONPATH"]]
    assert "TICKWIRE_SECRET" in os.environ
