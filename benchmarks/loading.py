"""Catalogs of benchmark size, loaded through the fold: the same compactor, in batches, without HTTP."""

import asyncio
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from arco.core.instant import stored_text
from arco.core.scope import Scope
from arco.domains.catalog.events import (
    CatalogCreated,
    CatalogRecord,
    ColumnRecord,
    NamespaceCreated,
    NamespaceRecord,
    TableRecord,
    TableRegistered,
)
from arco.kernel.envelope import Envelope, Unit
from arco.roles.chain_role import make_compactors
from arco.roles.chains import CATALOG
from arco.roles.process import Process, make_process

SCOPE = Scope("local", "default")
SCHEMAS = 100
COLUMNS = (
    ("id", "BIGINT"),
    ("happened_at", "TIMESTAMP"),
    ("amount", "DECIMAL(18,2)"),
    ("note", "STRING"),
    ("day", "DATE"),
)
BATCH = 1_024
_SUBJECTS_TEXT = (
    "account address ad agent alert app asset audit balance basket booking brand budget campaign card carrier "
    "cart case channel charge claim click contact contract coupon courier currency customer dealer delivery "
    "device discount event expense feed flight forecast fraud goal holiday inventory invoice item journal lead "
    "ledger listing loan location login margin market member message metric order partner payment person plan "
    "policy price product promotion purchase quote rating refund region rental reservation return review route "
    "sale search segment sensor session shift shipment shop sku stock store subscription supplier survey task "
    "tax ticket tier trip user vehicle vendor visit voucher weather "
)
SUBJECTS = _SUBJECTS_TEXT.split()
_SHAPES_TEXT = (
    "daily weekly monthly hourly raw clean staging history snapshot latest summary detail dim fact agg events "
    "changes current archive export import sample errors late joined features labels scores backup test dev "
)
SHAPES = _SHAPES_TEXT.split()
NOTED = 8
"""Every eighth table has a description."""


def table_names(size: int) -> list[tuple[str, str]]:
    """Schema and table names of a catalog of this size: random over the whole key range, the same in every run."""
    rng = random.Random(size)
    return [(f"s{rng.randrange(SCHEMAS):03d}", table_name(rng)) for _ in range(size)]


def table_name(rng: random.Random) -> str:
    """A name as people give them, but unique: subject, shape, and 12 hex digits: `order_daily_0f3a…`."""
    return f"{rng.choice(SUBJECTS)}_{rng.choice(SHAPES)}_{rng.getrandbits(48):012x}"


def loaded(root: Path, size: int, progress: bool = True) -> Path:
    """The storage folder of a catalog with `size` tables; made once and kept."""
    folder = root / f"catalog-{size}"
    done = folder / "loaded"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        asyncio.run(_load(folder, size, progress))
        done.write_text("ok")
    return folder


async def _load(folder: Path, size: int, progress: bool) -> None:
    process = make_process(f"file://{folder}")
    compactors = make_compactors(process, CATALOG, only=SCOPE, idle_merge_ms=60_000)
    compactor = compactors.of(SCOPE)
    units = _units(process, size)
    began = time.monotonic()
    count = 0
    batch: list[Unit] = []
    for unit in units:
        batch.append(unit)
        if len(batch) == BATCH:
            await compactor.submit(batch, 0)
            count += len(batch)
            batch = []
            if progress and count % (BATCH * 50) == 0:
                print(f"  loading {size:,} tables: {count:,} ({count / (time.monotonic() - began):,.0f}/s)", flush=True)
    if batch:
        await compactor.submit(batch, 0)
    await compactor.settle()
    await compactors.stop()


def _units(process: Process, size: int) -> Iterator[Unit]:
    now = process.clock.now_ms()
    catalog_id = process.ids.uuid7()
    yield _unit(
        process, 2, CatalogCreated(catalog=CatalogRecord(id=catalog_id, name="bench", created_at=now, updated_at=now))
    )
    schema_ids = {}
    for number in range(SCHEMAS):
        name = f"s{number:03d}"
        schema_ids[name] = schema_id = process.ids.uuid7()
        record = NamespaceRecord(id=schema_id, catalog_id=catalog_id, name=name, created_at=now, updated_at=now)
        yield _unit(process, 1, NamespaceCreated(namespace=record))
    for number, (schema, name) in enumerate(table_names(size)):
        words = name.split("_")
        note = f"The {words[1]} {words[0]} records, kept by the {schema} team" if number % NOTED == 0 else None
        yield _unit(process, 1, _table(process, schema_ids[schema], name, (now, note)))


def _table(process: Process, schema_id: str, name: str, facts: tuple[int, str | None]) -> TableRegistered:
    now, note = facts
    table_id = process.ids.uuid7()
    columns = [
        ColumnRecord(
            id=process.ids.uuid7(), table_id=table_id, name=column, data_type=kind, is_nullable=True, ordinal=ordinal
        )
        for ordinal, (column, kind) in enumerate(COLUMNS)
    ]
    record = TableRecord(
        id=table_id,
        namespace_id=schema_id,
        name=name,
        description=note,
        location=f"warehouse/{name}/",
        format="parquet",
        created_at=now,
        updated_at=now,
    )
    return TableRegistered(table=record, columns=columns)


def _unit(process: Process, version: int, payload: msgspec.Struct) -> Unit:
    event = Envelope(
        event_type="catalog.ddl",
        event_version=version,
        idempotency_key="bench",
        occurred_at=stored_text(process.clock.now_ms()),
        source="bench",
        payload=msgspec.Raw(msgspec.json.encode(payload)),
        event_id=process.ids.ulid(),
    )
    return Unit((event,))
