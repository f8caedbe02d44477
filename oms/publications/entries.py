"""What a feed says, as news: RSS and Atom read by feedparser, whatever of them is there made into bodies.

Pure, and slow: some answers take minutes, so it is called in a process of its own (`reading`). Must not know where the
bytes come from, nor what was read before.
"""

from __future__ import annotations

import calendar
import hashlib
import html
import io
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import feedparser

from oms.publications.model import SYMBOLS_MAX, News

ENTRIES_MAX: Final = 200  # of one reading, the first that are listed: those are the newest
HEADLINE_MAX: Final = 500
_TAG: Final = re.compile(r"<[^>]*>")
_SPACE: Final = re.compile(r"[\x00-\x20\x7f]+")
_URL: Final = re.compile(r"https?://[^\x00-\x20\x7f]{1,2000}", re.IGNORECASE)


class NotAFeedError(Exception):
    """The bytes are neither RSS nor Atom, or nothing of them can be read."""


class Symbols(NamedTuple):
    """Which symbols news are about: `always` all of these, and those one of whose words the headline has."""

    always: Collection[str] = ()
    by_words: Mapping[str, Collection[str]] = {}  # symbol -> words, whatever their case

    def of(self, headline: str) -> list[str]:
        found = [*self.always, *(symbol for symbol, words in self.by_words.items() if _has_any(headline, words))]
        return list(dict.fromkeys(found))[:SYMBOLS_MAX]


class Entry(NamedTuple):
    """A piece of news, and the hash of what its feed calls it (its guid, or else its link, or else its headline)."""

    name: bytes
    news: News


def read(body: bytes, symbols: Symbols, now: datetime) -> list[Entry]:
    """The entries of a feed that have a headline, the oldest first. Raises NotAFeedError."""
    try:
        # As a stream: what is no stream feedparser may take for an address, or a file, and open it.
        feed: Any = feedparser.parse(io.BytesIO(body), resolve_relative_uris=False)
        listed = list(feed.entries[:ENTRIES_MAX])
    except Exception as error:  # it is made to read what is broken, and still fails on some of it
        raise NotAFeedError(type(error).__name__) from error
    if not listed and (feed.bozo or not feed.get("version")):
        raise NotAFeedError("no entry of RSS or Atom can be read")
    found = [entry for each in listed if (entry := _entry(each, symbols, now)) is not None]
    found.reverse()  # the order of those of one time
    return sorted(found, key=_time)


def _entry(listed: Mapping[str, Any], symbols: Symbols, now: datetime) -> Entry | None:
    headline = _plain(listed)
    if not headline:
        return None
    link = str(listed.get("link") or "")
    name = str(listed.get("id") or link or headline)
    news = News(
        headline=headline,
        symbols=symbols.of(headline),
        timestamp=min(_published(listed) or now, now),
        url=link if _URL.fullmatch(link) else None,
    )
    return Entry(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest(), news)


def _plain(listed: Mapping[str, Any]) -> str:
    """The title as one line of text."""
    title = str(listed.get("title") or "")
    if "html" in str((listed.get("title_detail") or {}).get("type")):
        title = html.unescape(_TAG.sub("", title))
    text = _SPACE.sub(" ", title.encode("utf-8", "replace").decode()).strip()
    return text if len(text) <= HEADLINE_MAX else f"{text[: HEADLINE_MAX - 1]}…"


def _published(listed: Mapping[str, Any]) -> datetime | None:
    """When, in UTC; None where that is not said, or cannot be."""
    at = listed.get("published_parsed") or listed.get("updated_parsed")
    if at is None:
        return None
    try:
        seconds = calendar.timegm(at)
    except (ValueError, OverflowError):
        return None
    return datetime.fromtimestamp(seconds, UTC) if 0 <= seconds < 7_000_000_000 else None


def _time(entry: Entry) -> datetime:
    assert entry.news.timestamp is not None
    return entry.news.timestamp


def _has_any(text: str, words: Collection[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)
