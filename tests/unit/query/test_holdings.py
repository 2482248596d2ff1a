"""What a sandbox child keeps between queries: relations are handed to the engine once, as long as their blocks stay."""

from collections.abc import Sequence

import pyarrow as pa
import pytest

from arco.query.holdings import RELATIONS_KEPT, Holdings

Kept = Holdings[pa.Table]

# The engine is not started here: tests that fork follow in the same process, and it would not come with them. That its
# relations hold what their blocks do is seen by every query of `test_query`, in sandbox children.


class Relations:
    """Makes relations that are no more than their rows, and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, tables: Sequence[pa.Table]) -> pa.Table:
        self.made += 1
        return pa.concat_tables(tables)


@pytest.fixture
def relations() -> Relations:
    return Relations()


@pytest.fixture
def holdings(relations: Relations) -> Kept:
    kept = Holdings(relations)
    for name, first in (("a", 0), ("b", 10), ("c", 20)):
        kept.bring(name, _body(range(first, first + 10)))
    return kept


def test_a_relation_is_made_once_for_all_who_see_the_same_blocks(holdings: Kept, relations: Relations) -> None:
    for _ in range(5):
        assert _numbers(holdings, ("a", "b")) == list(range(20))
    assert relations.made == 1


def test_equal_blocks_in_another_order_are_another_relation(holdings: Kept) -> None:
    assert _numbers(holdings, ("b", "a")) == [*range(10, 20), *range(10)]
    assert _numbers(holdings, ("a", "b")) == list(range(20))


def test_a_changed_block_makes_its_relation_anew_and_no_other(holdings: Kept, relations: Relations) -> None:
    assert _numbers(holdings, ("a", "b")) == list(range(20))
    assert _numbers(holdings, ("c",)) == list(range(20, 30))
    holdings.drop(["b"])
    holdings.bring("b2", _body([77]))
    assert _numbers(holdings, ("a", "b2")) == [*range(10), 77]
    assert _numbers(holdings, ("c",)) == list(range(20, 30))
    assert relations.made == 3


def test_a_relation_goes_with_the_first_of_its_blocks_and_so_does_what_they_had_mapped(
    holdings: Kept,
) -> None:
    before = holdings.mapped_bytes
    _numbers(holdings, ("a", "b"))
    _numbers(holdings, ("c",))
    holdings.drop(["a"])
    assert len(holdings) == 1
    assert holdings.mapped_bytes == before * 2 / 3


def test_relations_of_many_moments_are_bounded(holdings: Kept) -> None:
    for number in range(3 * RELATIONS_KEPT):
        holdings.bring(f"n{number}", _body([number]))
        assert _numbers(holdings, ("a", f"n{number}")) == [*range(10), number]
    assert len(holdings) == RELATIONS_KEPT


def _body(numbers: Sequence[int]) -> pa.Buffer:
    table = pa.table({"n": pa.array(numbers, pa.int64())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _numbers(holdings: Kept, blocks: tuple[str, ...]) -> list[int]:
    return holdings.relation(blocks).column("n").to_pylist()
