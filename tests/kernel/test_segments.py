"""Segments, pages and deltas against a plain sorted dictionary; nothing loaded equals everything loaded."""

import asyncio
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arco.core.offload import Inline
from arco.core.paths import Key
from arco.kernel import merge as merge_module
from arco.kernel import workshop as workshop_module
from arco.kernel.codec import SegmentKeys, SegmentRows, decode_parquet, encode_parquet, merged, table_of
from arco.kernel.manifest import TableTree
from arco.kernel.merge import TreeMerger, edits_of
from arco.storage.memory import MemoryStore

from .world import PAIRS, Machine, PairRow, VirtualClock

names = st.text(st.sampled_from("abé/ 𝄞z"), max_size=4)
actions = st.lists(
    st.tuples(st.sampled_from(["put", "put", "drop", "clear", "settle"]), st.sampled_from("xyz"), names), max_size=60
)


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


@settings(max_examples=60, deadline=None)
@given(steps=actions, split=st.integers(1, 9))
def test_any_history_reads_like_a_sorted_dictionary(steps: list[tuple[str, str, str]], split: int) -> None:
    async def story() -> None:
        machine = Machine(MemoryStore(), VirtualClock()).start()
        model: dict[tuple[str, str], str] = {}
        pending = []
        for index, (action, group, name) in enumerate(steps):
            if action == "settle":
                continue
            pending.append(machine.unit({"action": action, "group": group, "name": name, "value": str(index)}))
            if action == "put":
                model[group, name] = str(index)
            elif action == "drop":
                model.pop((group, name), None)
            else:
                model = {key: value for key, value in model.items() if key[0] != group}
            if len(pending) == split:
                await machine.submit(*pending)
                pending = []
        if pending:
            await machine.submit(*pending)
        assert await machine.rows() == model
        await machine.compactor.settle()
        assert await machine.rows() == model
        await _ranges_agree(machine, model)
        report = await machine.verify()
        assert report.ok, report.differences

    run(story())


async def _ranges_agree(machine: Machine, model: dict[tuple[str, str], str]) -> None:
    snapshot = await machine.reader(cold=True).head()
    if snapshot is None:
        return
    ordered = sorted(model)
    assert snapshot.count(PAIRS) == len(ordered)
    for group in "xyz":
        mine = [key for key in ordered if key[0] == group]
        assert [(row.group, row.name) for row in await snapshot.scan(PAIRS, prefix=(group,))] == mine
        down = await snapshot.scan(PAIRS, prefix=(group,), descending=True, limit=3)
        assert [(row.group, row.name) for row in down] == mine[::-1][:3]
        if mine:
            after = mine[len(mine) // 2]
            rest = await snapshot.scan(PAIRS, prefix=(group,), after=after, limit=4)
            assert [(row.group, row.name) for row in rest] == [key for key in mine if key > after][:4]
    for key in ordered[:5]:
        row = await snapshot.get(PAIRS, key)
        assert row is not None and row.value == model[key]
    assert await snapshot.get(PAIRS, ("x", "not there")) is None


class Shelf:
    """Keeps what a merger writes, as the loader would find it."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.made = 0

    async def opened(self, _spec: Any, ref: Any) -> Callable[[], SegmentRows]:
        body = self.objects[ref.path]
        return lambda: SegmentRows(PAIRS, decode_parquet(PAIRS, body))

    async def page(self, ref: Any) -> Any:
        from arco.kernel.manifest import decode_page

        return decode_page(self.objects[ref.path])

    async def write(self, objects: Any) -> None:
        for item in objects:
            assert item.key not in self.objects
            self.objects[item.key] = item.body

    def name(self, _table: str, kind: str) -> Key:
        self.made += 1
        return Key(f"{kind}-{self.made}")

    async def apply(self, tree: TableTree, changes: dict[Any, Any]) -> TableTree:
        merger = TreeMerger(self, name=self.name, offload=Inline(), write=self.write)
        tree = await merger.merge(PAIRS, tree, edits_of(changes))
        await merger.flush()
        return tree

    async def leaves(self, refs: Any, level: int) -> list[Any]:
        found = []
        for ref in refs:
            if level == 0:
                found.append(ref)
            else:
                page = await self.page(ref)
                assert page.refs[0].min_key == ref.min_key and page.refs[-1].max_key == ref.max_key
                assert sum(below.rows for below in page.refs) == ref.rows
                found.extend(await self.leaves(page.refs, page.level))
        return found


@pytest.mark.parametrize("seed", range(6))
def test_trees_split_and_join_and_hold_exactly_the_rows_of_a_dictionary(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_module, "SEGMENT_ROWS_TARGET", 8)
    monkeypatch.setattr(merge_module, "SEGMENT_ROWS_MAX", 16)
    monkeypatch.setattr(merge_module, "_UNDERFULL", 2)
    monkeypatch.setattr(merge_module, "PAGE_FANOUT_TARGET", 4)
    monkeypatch.setattr(merge_module, "PAGE_FANOUT_MAX", 8)
    monkeypatch.setattr(merge_module, "ROOT_FANOUT_MAX", 4)
    rng = random.Random(seed)

    async def story() -> None:
        shelf, tree = Shelf(), TableTree()
        model: dict[tuple[str, str], PairRow] = {}
        levels = set()
        for step in range(40):
            growing = step < 25
            changes: dict[Any, Any] = {}
            for _ in range(rng.choice([1, 3, 40, 120])):
                key = ("g", f"{rng.randrange(900):04d}")
                if rng.random() < (0.2 if growing else 0.9):
                    changes[key] = None
                    model.pop(key, None)
                else:
                    changes[key] = model[key] = PairRow(group="g", name=key[1], value=str(step), writes=step)
            tree = await shelf.apply(tree, changes)
            levels.add(tree.level)
            leaves = await shelf.leaves(tree.refs, tree.level)
            rows = [row for leaf in leaves for row in (await shelf.opened(PAIRS, leaf))().rows(0, leaf.rows)]
            assert rows == [model[key] for key in sorted(model)]
            assert tree.rows == len(model) and len(tree.refs) <= 4
            assert all(leaf.rows <= 16 for leaf in leaves)
        assert len(levels) > 1

    run(story())


@given(
    rows=st.dictionaries(names, st.integers(0, 9), max_size=30),
    edits=st.dictionaries(names, st.none() | st.integers(10, 19), max_size=20),
)
def test_merging_edits_into_a_segment_is_a_dictionary_update(
    rows: dict[str, int], edits: dict[str, int | None]
) -> None:
    def row(name: str, writes: int) -> PairRow:
        return PairRow(group="g", name=name, value="v", writes=writes)

    old = table_of(PAIRS, [row(name, rows[name]) for name in sorted(rows)])
    ordered = [(("g", name), None if edits[name] is None else row(name, edits[name] or 0)) for name in sorted(edits)]
    result = SegmentRows(PAIRS, merged(PAIRS, old, ordered))
    expected = {**rows, **edits}
    kept = sorted(name for name, value in expected.items() if value is not None)
    assert [one.name for one in result.rows(0, result.count)] == kept


def test_equal_rows_give_byte_identical_parquet() -> None:
    rows = [PairRow(group="g", name=f"{index:04d}", value="v", writes=index) for index in range(500)]
    first, second = (encode_parquet(table_of(PAIRS, rows)) for _ in range(2))
    assert first == second
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = pq.ParquetFile(pa.BufferReader(first)).metadata.metadata
    assert metadata[b"created_by"] == b"arco-catalog"


def test_a_segment_without_a_newer_nullable_column_reads_as_nulls() -> None:
    table = table_of(PAIRS, [PairRow(group="g", name="a", value="v", writes=1)]).drop_columns(["note"])
    read = decode_parquet(PAIRS, encode_parquet(table))
    assert SegmentRows(PAIRS, read).row(0).note is None


@settings(max_examples=150, deadline=None)
@given(
    rows=st.sets(st.tuples(st.sampled_from("ab"), names, st.integers(-2, 2)), max_size=30),
    asked=st.lists(st.tuples(st.sampled_from("abc"), names, st.integers(-2, 2)), max_size=5),
    width=st.integers(1, 4),
    cut=st.integers(0, 3),
)
def test_a_key_is_found_in_columns_as_in_a_sorted_list(
    rows: set[tuple[str, str, int]], asked: list[tuple[str, str, int]], width: int, cut: int
) -> None:
    ordered = sorted(rows)
    kinds = (pa.string(), pa.string(), pa.int64())
    columns = [pa.array([row[at] for row in ordered], kind)[cut:] for at, kind in enumerate(kinds)]
    columns[0] = columns[0].dictionary_encode()
    ordered = ordered[cut:]
    keys = SegmentKeys(columns, len(ordered))
    for key in [*ordered, *asked]:
        assert keys.index_of(key) == (ordered.index(key) if key in ordered else None)
        beginning = (*key, "")[:width]
        beginnings = [row[:width] for row in ordered]
        for low in range(len(ordered) + 1):
            assert keys.bisect(beginning, low) == bisect_left(beginnings, beginning, low)
            assert keys.bisect(beginning, low, right=True) == bisect_right(beginnings, beginning, low)


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.integers(1, 15), max_size=40), most=st.integers(1, 120))
def test_the_sparsest_changes_wait_and_never_more_than_may(sizes: list[int], most: int) -> None:
    parts = [[((segment, row), None) for row in range(size)] for segment, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workshop_module, "RESIDUE_ROWS_MAX", most)
        waiting = workshop_module.waiting_keys(parts)
    kept = [size for segment, size in enumerate(sizes) if (segment, 0) in waiting]
    merged_now = [size for segment, size in enumerate(sizes) if (segment, 0) not in waiting]
    assert len(waiting) == sum(kept) <= most
    assert not merged_now or max(kept, default=0) <= min(merged_now)
    assert not merged_now or sum(kept) + min(merged_now) > most
