"""Sides against a dict, diffs against each other."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.exchange.book import Best, Book, Changes, Level, Side

updates = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=80)


@given(updates, st.booleans())
def test_a_side_agrees_with_a_dict(made: list[tuple[int, int]], descending: bool) -> None:
    side, model = Side(descending=descending), {}
    for price, size in made:
        side.set(price, size)
        model[price] = size
        if not size:
            del model[price]
    expected = [Level(price, model[price]) for price in sorted(model, reverse=descending)]
    assert len(side) == len(model)
    assert side.top(1000) == expected
    assert side.top(3) == expected[:3]
    assert [side.price_at(rank) for rank in range(len(side))] == [level.price for level in expected]


def test_best_needs_both_sides() -> None:
    book = Book()
    book.load(7, [(99, 1), (98, 2)], [])
    assert book.best() is None
    book.load(8, [(99, 1), (98, 2)], [(101, 3), (102, 4)])
    assert book.best() == Best(99, 1, 101, 3)
    assert book.update_id == 8


def test_diffs_are_contiguous_and_keep_the_newest_size() -> None:
    changes = Changes(taken_id=10)
    assert changes.take(10) is None
    changes.bids.update({99: 1, 98: 0})
    changes.bids[99] = 5
    changes.asks[101] = 2
    first = changes.take(14)
    assert first is not None
    assert (first.first_id, first.last_id) == (11, 14)
    assert first.bids == [(99, 5), (98, 0)]
    assert first.asks == [(101, 2)]
    changes.asks[102] = 1
    second = changes.take(15)
    assert second is not None
    assert (second.first_id, second.last_id, second.bids, second.asks) == (15, 15, [], [(102, 1)])
    changes.asks[103] = 1
    changes.skip(20)
    assert changes.take(20) is None
