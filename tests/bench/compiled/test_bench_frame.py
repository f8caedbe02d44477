"""What making a frame costs: once for each update and form, whoever receives it."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.frame import DATA as DATA_SLOT
from _speedups.frame import EPOCH as EPOCH_SLOT
from _speedups.frame import OP_TEXT, SEQUENCE, Form, Template, Update, close_frame, encode
from tests.bench.compiled.parts import DATA, EPOCH, FORM, T_IN, TOPIC
from tests.bench.compiled.reference import measures

STAMPS = (T_IN // 1_000_000, T_IN, T_IN + 90_000)


@pytest.mark.parametrize("size", [200, 20_000])
@measures("frame.encode")
def test_frame(benchmark: BenchmarkFixture, size: int) -> None:
    payload = bytes(size)
    assert benchmark(encode, OP_TEXT, payload).endswith(payload)


@measures("frame.close_frame")
def test_close(benchmark: BenchmarkFixture) -> None:
    assert benchmark(close_frame, 4008, "slow consumer").endswith(b"slow consumer")


@measures("frame.Update")
def test_new_update(benchmark: BenchmarkFixture) -> None:
    assert benchmark(Update, 12_346, DATA, *STAMPS, False).sequence == 12_346


@measures("frame.Template")
def test_new_template(benchmark: BenchmarkFixture) -> None:
    parts = [b'{"sequence":', SEQUENCE, b',"epoch":"', EPOCH_SLOT, b'","data":', DATA_SLOT, b"}"]
    template = benchmark(Template, parts)
    assert template.render(Update(7, DATA, *STAMPS, False), EPOCH).startswith(b'{"sequence":7,"epoch":"k3f9"')


@measures("frame.Template.render")
def test_render(benchmark: BenchmarkFixture) -> None:
    update = Update(12_346, DATA, *STAMPS, False)
    assert benchmark(FORM.template(TOPIC).render, update, EPOCH).endswith(b"}")


@measures("frame.Form.finish")
def test_finish(benchmark: BenchmarkFixture) -> None:
    assert benchmark(Form().finish, DATA).endswith(DATA)
