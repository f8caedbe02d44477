"""What is remembered of ended connections, against a model that forgets nothing by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.remembering import Remembering

WITHIN_S = 10
steps = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([None, 1, 2]), st.integers(0, 9), st.integers(0, 6))
)


@given(steps, st.integers(0, 20))
def test_what_is_found_is_the_last_that_was_kept_by_its_owner_and_in_time(
    kept: list[tuple[str, int | None, int, int]], bytes_max: int
) -> None:
    memory, now_s = Remembering(WITHIN_S, bytes_max), 0
    model: dict[str, tuple[int | None, bytes, int]] = {}
    for name, owner, size, passed_s in kept:
        now_s += passed_s
        memory.keep(name, owner, b"x" * size, now_s)
        model.pop(name, None)
        model[name] = owner, b"x" * size, now_s
        assert memory.bytes <= bytes_max
        found = {each for each in model if memory.find(each, model[each][0], now_s) is not None}
        for each in found:
            owner_of, body, since_s = model[each]
            assert now_s < since_s + WITHIN_S
            assert memory.find(each, owner_of, now_s) == body
            assert memory.find(each, 3, now_s) is None, "somebody else's"
            assert memory.find(each, owner_of, since_s + WITHIN_S) is None, "too long ago"
        newest = [each for each in reversed(model) if now_s < model[each][2] + WITHIN_S]
        assert set(newest[: len(found)]) == found, "the oldest are forgotten first"
        if sum(len(model[each][1]) for each in newest) <= bytes_max:
            assert found == set(newest), "and none without need"
        assert len(memory) <= len(model)
        model = {each: row for each, row in model.items() if each in found}
