"""The page: everything is there, nothing is loaded, and no text is markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from loadtest.page import page
from loadtest.targets import Verdict
from tests.loadtest.made import OUTCOME, RUN


class Elements(HTMLParser):
    """Counts the elements, and collects where they lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.leads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.leads += [value or "" for name, value in attrs if name in {"href", "src", "srcset"}]


def test_limits_figures_machine_and_command_are_there() -> None:
    text = page(RUN)
    for wanted in (
        "<h2>soak: many &lt;readers&gt;</h2>", '<td class="MISSED">MISSED</td>', '<td class="met">met</td>',
        "<td>not judged</td>", "<td>of_floor_ratio</td><td>-</td>", '<td class="n">12.5</td>',
        "python -m loadtest.load soak", "2 x A Processor",
        "<li>no C floor</li>", "99.9 %",
    ):  # fmt: skip
        assert wanted in text


def test_what_was_missed_by_a_bottlenecked_client_is_still_missed() -> None:
    verdicts = [Verdict("p99_ms <= 10", "12.5", met=False, of_short_client=True)]
    text = page(replace(RUN, outcomes=[replace(OUTCOME, verdicts=verdicts)]))
    assert '<td class="MISSED">MISSED: its client was the bottleneck</td>' in text
    assert replace(OUTCOME, verdicts=verdicts).missed


def test_latency_throughput_cpu_and_memory_are_drawn() -> None:
    assert Elements(page(RUN)).names.count("svg") == 4
    bare = replace(RUN, outcomes=[replace(OUTCOME, curves={}, samples=[])])
    assert "svg" not in Elements(page(bare)).names


def test_nothing_is_loaded_and_the_only_script_is_data() -> None:
    text = page(RUN)
    elements = Elements(text)
    assert elements.leads == []
    assert not re.search(r"@import|url\(|https?://", text)
    assert elements.names.count("script") == text.count("</script>") == 1
