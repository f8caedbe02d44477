"""Reading recorded files: their order, their markets, and what is no recording."""

import gzip
from pathlib import Path

import pytest

from loadtest.exchange.decimals import ONE
from loadtest.exchange.recording import RecordingError, load
from tests.loadtest.exchange.tools import START_MS, write_recording

DIFF = (
    b'1 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":5,"s":"BTCUSDT","U":7,"u":8,'
    b'"b":[["1.50","2.0"]],"a":[]}}\n'
)


def test_a_file_gives_its_messages_its_market_and_its_snapshot(tmp_path: Path) -> None:
    recorded = write_recording(tmp_path / "one.gz")
    recording = load([tmp_path / "one.gz"])
    assert [line.raw for line in recording.lines] == recorded
    spec, depth = recording.markets["BTCUSDT"]
    assert (spec.base, spec.quote, spec.tick, spec.step) == ("BTC", "USDT", ONE // 100, ONE // 100_000)
    assert depth.update_id > 400
    assert len(depth.bids) > 100
    assert depth.bids[0][0] < depth.asks[0][0]
    assert START_MS < recording.begins_ms < START_MS + 1_000


def test_files_are_merged_by_receive_time(tmp_path: Path) -> None:
    for name, times in (("a", (1, 5, 9)), ("b", (2, 3, 11))):
        lines = [DIFF.replace(b"1 ", b"%d " % time, 1) for time in times]
        (tmp_path / name).write_bytes(b"".join(lines))
    recording = load([tmp_path / "a", tmp_path / "b"])
    assert [line.received_ns for line in recording.lines] == [1, 2, 3, 5, 9, 11]


def test_without_a_snapshot_the_book_begins_before_the_first_diff(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(DIFF)
    assert load([tmp_path / "plain"]).markets["BTCUSDT"][1] == (6, [], [])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no spot depth"),
        (b"hello\n", "not a recording"),
        (b"1 {}\n", "not a recording"),
        (DIFF.replace(b'"u":8', b'"u":8,"pu":6'), "no spot depth"),
        (DIFF.replace(b"BTCUSDT", b"WHATEVER"), "cannot tell base from quote"),
    ],
)
def test_what_is_no_recording_is_refused_with_a_reason(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(RecordingError, match=why):
        load([tmp_path / "file"])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"missing\.gz"):
        load([tmp_path / "missing.gz"])
    (tmp_path / "cut.gz").write_bytes(gzip.compress(DIFF * 50)[:-20])
    with pytest.raises(RecordingError, match=r"cut\.gz"):
        load([tmp_path / "cut.gz"])
    with pytest.raises(RecordingError, match="no file"):
        load([])


def test_the_recorded_files(recorded_paths: list[Path]) -> None:
    recording = load(recorded_paths)
    assert len(recording.lines) == 41_249 - 1 + 58_325
    spec, depth = recording.markets["BTCUSDT"]
    assert (spec.tick, spec.step) == (ONE // 100, ONE // 100_000)
    assert depth.update_id == 50093239218
