"""What reading a client's frames costs."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.parser import Parser
from tests.bench.compiled.reference import measures
from tests.gateway.net.raw import BINARY, TEXT, frame

SUBSCRIBE = b'{"action":"subscribe","id":"7","channel":"quotes","symbols":["BTC/USDT"],"throttle_ms":100}'


@measures("parser.Parser")
def test_new_parser(benchmark: BenchmarkFixture) -> None:
    assert not benchmark(Parser, 65_536).done


@measures("parser.Parser.feed")
def test_a_request(benchmark: BenchmarkFixture) -> None:
    parser = Parser(65_536)
    assert benchmark(parser.feed, frame(TEXT, SUBSCRIBE))[0][1] == SUBSCRIBE.decode()


@measures("parser.Parser.feed")
def test_a_thousand_requests_in_one_read(benchmark: BenchmarkFixture) -> None:
    parser = Parser(65_536)
    assert len(benchmark(parser.feed, frame(TEXT, SUBSCRIBE) * 1000)) == 1000


@measures("parser.Parser.feed")
def test_a_megabyte_in_pieces_of_64_bytes(benchmark: BenchmarkFixture) -> None:
    parser = Parser(1_048_576)
    stream = frame(BINARY, bytes(1_048_576))
    pieces = [stream[at : at + 64] for at in range(0, len(stream), 64)]

    def feed() -> list[tuple[int, str | bytes]]:
        return [event for piece in pieces for event in parser.feed(piece)]

    assert len(benchmark(feed)) == 1


@measures("parser.Parser.feed")
def test_a_megabyte_of_text_in_fragments(benchmark: BenchmarkFixture) -> None:
    parser = Parser(1_048_576)
    text = "Grüße, 世界. ".encode() * 50_000
    parts = [text[at : at + 1024] for at in range(0, len(text), 1024)]
    stream = b"".join(
        frame(0 if at else TEXT, part, fin=at == len(parts) - 1) for at, part in enumerate(parts)
    )  # fmt: skip
    assert len(benchmark(parser.feed, stream)) == 1
