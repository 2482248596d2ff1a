"""Fields of many rows in order: the same as of the rows a scan gives, and no more decoded than was asked for."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from arco.core.errors import CorruptData
from arco.kernel.cache import ObjectCache, ScopedCache
from arco.kernel.chain import CATALOG_CHAIN, Chain
from arco.kernel.codec import PARQUET, encode_parquet, table_of
from arco.kernel.loader import Loader
from arco.kernel.reader import ChainReader
from arco.kernel.reading import Range, Sieve
from arco.kernel.records import all_specs
from arco.kernel.segments import Columns
from arco.kernel.spec import Row, TableSpec

from .test_ranges import Model, a_machine, small_nodes  # noqa: F401  # a fixture
from .world import PAIRS, Machine, PairDomain, PairRow

LEAN = ("group", "name", "writes")
WHOLE = ("name", "value", "group")


@pytest.mark.usefixtures("small_nodes")
@pytest.mark.parametrize("seed", range(6))
def test_picked_fields_are_those_of_the_rows_of_a_scan_page_by_page(seed: int) -> None:
    async def story() -> None:
        rng, model = random.Random(seed), Model()
        machine = await a_machine(rng, model, unmerged=(0, 40, 400)[seed % 3])
        snapshot: Any = await machine.reader(cold=True).head()
        for fields in (LEAN, WHOLE):
            for group in "wxyz":
                rows = await snapshot.scan(PAIRS, prefix=(group,))
                expected = [tuple(getattr(row, field) for field in fields) for row in rows]
                limit = rng.choice([1, 7, 50, 1_000])
                assert await paged(machine.reader(cold=True), fields, group, limit) == expected
        await machine.compactor.stop()

    asyncio.run(story())


async def paged(reader: Any, fields: tuple[str, ...], group: str, limit: int) -> list[Any]:
    snapshot = await reader.head()
    found: list[Any] = []
    after = None
    while True:
        page = await snapshot.pick(PAIRS, fields, prefix=(group,), after=after, limit=limit)
        assert len(page) <= limit
        found += page
        if len(page) < limit:
            return found
        after = (group, page[-1][fields.index("name")])


@pytest.mark.usefixtures("small_nodes")
def test_what_is_bulky_is_decoded_for_who_asks_for_it_and_for_nobody_else() -> None:
    async def story() -> None:
        machine = await a_machine(random.Random(1), Model(), unmerged=0)
        counting = Counting()
        snapshot = await reader_of(machine, counting).head()
        assert snapshot is not None
        for _ in range(2):
            await snapshot.pick(PAIRS, LEAN, prefix=("x",), limit=1_000)
        lean = counting.lean
        assert lean > 5
        assert counting.whole == 0
        await snapshot.pick(PAIRS, WHOLE, prefix=("x",), limit=1_000)
        assert counting.whole == lean
        # Who has the whole segment needs no part of it.
        await snapshot.scan(PAIRS, prefix=("y",))
        await snapshot.pick(PAIRS, LEAN, prefix=("y",), limit=1_000)
        assert counting.lean == lean
        await machine.compactor.stop()

    asyncio.run(story())


@pytest.mark.usefixtures("small_nodes")
def test_where_little_passes_only_the_segments_of_what_does_have_all_their_fields_decoded() -> None:
    async def story() -> None:
        machine = await a_machine(random.Random(1), Model(), unmerged=0)
        counting = Counting()
        snapshot: Any = await reader_of(machine, counting).head()
        between = Range(("x",), ("z",))

        async def passed(names: set[str], *, rare: bool) -> list[Any]:
            def keep(found: list[str]) -> list[int]:
                return [index for index, name in enumerate(found) if name in names]

            return (await snapshot.sift(PAIRS, between, Sieve(("name",), keep, rare), most=10_000)).rows

        assert await passed(set(), rare=True) == []
        assert counting.whole == 0
        assert counting.lean > 10
        rows = await snapshot.scan(PAIRS, prefix=("y",), limit=1)
        assert await passed({rows[0].name}, rare=True) == [
            row for row in await passed({rows[0].name}, rare=False) if row.name == rows[0].name
        ]
        segments = counting.lean
        fresh = Counting()
        snapshot = await reader_of(machine, fresh).head()
        assert rows[0] in await passed({rows[0].name}, rare=True)
        assert fresh.lean == segments
        assert 0 < fresh.whole <= 2
        await machine.compactor.stop()

    asyncio.run(story())


def reader_of(machine: Machine, codec: Any) -> ChainReader:
    loader = Loader(machine.store, ScopedCache(ObjectCache(64 << 20), "t/"), all_specs([PairDomain()]), codec=codec)
    return ChainReader(Chain(machine.store, CATALOG_CHAIN), loader, clock=machine.clock, grace_ms=machine.grace_ms)


class Counting:
    """The real codec; counts what is decoded of pairs."""

    def __init__(self) -> None:
        self.whole = self.lean = 0

    def decode(self, spec: TableSpec[Any], body: bytes) -> Any:
        self.whole += spec is PAIRS
        return PARQUET.decode(spec, body)

    def decode_some(self, spec: TableSpec[Any], body: bytes, fields: Sequence[str]) -> Columns:
        self.lean += spec is PAIRS
        return PARQUET.decode_some(spec, body, fields)


class Wider(Row, frozen=True, kw_only=True):
    """A pair as a later release has it."""

    group: str
    name: str
    value: str
    writes: int
    colour: str | None = None


def test_a_segment_of_an_older_release_lacks_what_is_new_and_one_that_is_no_segment_is_refused() -> None:
    wider = TableSpec("pairs", Wider, key=("group", "name"), domain="catalog", bulky=frozenset({"value"}))
    body = encode_parquet(table_of(PAIRS, [PairRow(group="g", name="n", value="v", writes=3)]))
    lean = PARQUET.decode_some(wider, body, wider.lean)
    assert [lean.values(field, 0, 1) for field in ("group", "name", "writes", "colour")] == [["g"], ["n"], [3], [None]]
    assert lean.size_bytes < PARQUET.decode(wider, body).size_bytes
    other = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table({"group": ["g"]}), other)
    for wrong in (body[:-5], b"", other.getvalue().to_pybytes()):
        with pytest.raises(CorruptData):
            PARQUET.decode_some(wider, wrong, wider.lean)
