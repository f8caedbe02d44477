"""RSS, Atom and what is neither, as news."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.publications import model
from oms.publications.entries import HEADLINE_MAX, NotAFeedError, Symbols, read
from oms.publications.model import News

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>Wire</title>
<item><title>Second &lt;b&gt;bold&lt;/b&gt; &amp;amp; more</title><link>https://example.org/2</link>
  <guid isPermaLink="false">g2</guid><pubDate>Sat, 21 Nov 2026 10:00:00 +0100</pubDate></item>
<item><title>First: Bitcoin up</title><link>javascript:alert(1)</link>
  <pubDate>Sat, 21 Nov 2026 08:00:00 GMT</pubDate></item>
<item><title>From tomorrow</title><guid>g3</guid><pubDate>Sun, 22 Nov 2026 08:00:00 GMT</pubDate></item>
<item><link>https://example.org/untitled</link></item>
</channel></rss>"""
ATOM = """<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Wire</title>
<entry><id>urn:1</id><title type="html">Ether &amp;amp; co.</title><link href="https://example.org/a?x=1&amp;y=2"/>
  <updated>2026-11-21T08:30:00Z</updated></entry></feed>"""


def feed(*titles: str) -> bytes:
    items = "".join(f"<item><title><![CDATA[{title}]]></title></item>" for title in titles)
    return f'<rss version="2.0"><channel>{items}</channel></rss>'.encode()


def news(body: bytes, symbols: Symbols = Symbols()) -> list[News]:  # noqa: B008  # immutable
    return [entry.news for entry in read(body, symbols, NOW)]


def test_rss_is_read_the_oldest_first() -> None:
    first, second, third = news(RSS.encode())
    assert (first.headline, first.url, first.timestamp) == (
        "First: Bitcoin up", None, datetime(2026, 11, 21, 8, tzinfo=UTC)
    )  # fmt: skip
    assert (second.headline, second.url) == ("Second bold & more", "https://example.org/2")
    assert second.timestamp == datetime(2026, 11, 21, 9, tzinfo=UTC)
    assert (third.headline, third.timestamp) == ("From tomorrow", NOW)


def test_atom_is_read() -> None:
    (entry,) = news(ATOM.encode())
    assert (entry.headline, entry.url) == ("Ether & co.", "https://example.org/a?x=1&y=2")
    assert entry.timestamp == datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def test_an_entry_is_called_by_its_guid_or_its_link_or_its_headline() -> None:
    def names(items: str) -> list[bytes]:
        body = f'<rss version="2.0"><channel>{items}</channel></rss>'.encode()
        return [entry.name for entry in read(body, Symbols(), NOW)]

    by_guid = names("<item><title>A</title><guid>g</guid><link>https://e.org/1</link></item>")
    assert by_guid == names("<item><title>B</title><guid>g</guid><link>https://e.org/2</link></item>")
    by_link = names("<item><title>A</title><link>https://e.org/1</link></item>")
    assert by_link == names("<item><title>B</title><link>https://e.org/1</link></item>")
    by_headline = names("<item><title>A</title></item>")
    assert by_headline == names("<item><title>A</title><pubDate>Sat, 21 Nov 2026 08:00:00 GMT</pubDate></item>")
    assert len({*by_guid, *by_link, *by_headline}) == 3


def test_symbols_are_given_or_found_by_whole_words() -> None:
    symbols = Symbols(["ALL"], {"BTC/USDT": ["bitcoin", "btc"], "ETH/USDT": ["ether"], "ALL": ["market"]})
    found = [each.symbols for each in news(feed("BITCOIN and Ether", "Whether btc2 or bitcoins", "A market"), symbols)]
    assert sorted(found) == [["ALL"], ["ALL"], ["ALL", "BTC/USDT", "ETH/USDT"]]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html><body>moved</body></html>", b"http://127.0.0.1:9/feed", b"/etc/hostname", b"\xff\xfe<rss", b"{}"],
)
def test_what_is_no_feed_is_refused_and_nothing_is_opened(body: bytes) -> None:
    with pytest.raises(NotAFeedError):
        read(body, Symbols(), NOW)


def test_a_feed_without_entries_is_one() -> None:
    assert news(b'<rss version="2.0"><channel><title>x</title></channel></rss>') == []


def test_what_is_cut_off_is_read_as_far_as_it_goes() -> None:
    assert "Second bold & more" in [each.headline for each in news(RSS.encode()[: RSS.index("First")])]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="]"), max_size=600), max_size=4))
def test_whatever_a_feed_says_can_be_published(titles: list[str]) -> None:
    try:
        found = news(feed(*titles))
    except NotAFeedError:
        return
    for each in found:
        told = model.made(each, "wire", 1_790_000_000_000_000_000)
        assert 0 < len(each.headline) <= HEADLINE_MAX
        assert "\n" not in each.headline
        given = {"headline": each.headline, "url": each.url, "symbols": each.symbols}
        assert isinstance(model.parse("news", msgspec.json.encode(given)), News), told
