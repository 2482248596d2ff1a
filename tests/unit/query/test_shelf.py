"""Blocks of rows between queries: how many are kept, and for how long."""

from arco.core.scope import Scope
from arco.query.shelf import SHELF_REST_MS, SharedBytes, Shelf

from ..edge.kit import TurnedClock

SCOPE = Scope("local", "default")


def test_a_block_that_has_rested_leaves_when_another_comes_and_one_in_use_stays():
    clock = TurnedClock()
    shelf = Shelf(clock)
    for name in ("superseded", "current"):
        shelf.put(SCOPE, name, SharedBytes(100))
    clock.ms += SHELF_REST_MS
    assert shelf.get(SCOPE, "current") is not None
    clock.ms += 1
    shelf.put(SCOPE, "fresh", SharedBytes(100))
    assert [shelf.has(SCOPE, name) for name in ("superseded", "current", "fresh")] == [False, True, True]
    assert shelf.size_bytes == 200


def test_the_least_recently_used_leave_first_when_there_are_too_many_or_too_large_ones():
    shelf = Shelf(TurnedClock(), bytes_max=250, blocks_max=3)
    for name in ("a", "b"):
        shelf.put(SCOPE, name, SharedBytes(100))
    shelf.get(SCOPE, "a")
    shelf.put(SCOPE, "c", SharedBytes(100))
    assert [shelf.has(SCOPE, name) for name in "abc"] == [True, False, True]
    for name in "de":
        shelf.put(SCOPE, name, SharedBytes(1))
    assert [shelf.has(SCOPE, name) for name in "acde"] == [False, True, True, True]
    shelf.put(SCOPE, "giant", SharedBytes(300))
    assert not shelf.has(SCOPE, "giant") and shelf.size_bytes == 0
