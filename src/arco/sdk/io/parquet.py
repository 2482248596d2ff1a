"""Assets as Parquet: one file for each part, replaced in one step, that says which materialization wrote it."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from arco.sdk.errors import ConfigurationFailed
from arco.sdk.io.parts import Fitted
from arco.sdk.io.places import Place
from arco.sdk.io.port import Staged, Writing
from arco.sdk.io.source import Source
from arco.sdk.partitions import Partition

VERSION_KEY: Final = b"arco.materialization_id"
_LOOKS_AT_ONCE: Final = 16


def write_parquet(place: Place, writing: Writing, staged: Staged, *, fit: Fitted, version: str) -> tuple[str, int]:
    """Make a result the file of its part. Returns its path and its bytes."""
    path = place.data_path(writing.partition)
    schema = fit.schema.with_metadata({VERSION_KEY: version.encode()})
    with tempfile.TemporaryDirectory(prefix="arco-parquet-") as folder:
        file = Path(folder) / "data.parquet"
        with pq.ParquetWriter(file, schema, compression=writing.asset.io.compression) as writer:
            for batch in staged.batches():
                writer.write_batch(fit.batch(batch).cast(schema))
        place.put(file, path, attempt=writing.task.attempt_id)
        return path, file.stat().st_size


def known_columns(place: Place, partition: Partition) -> Any:
    """The columns of the file that a publication would replace, as `pyarrow.Schema`; None when there is none."""
    try:
        schema = pq.read_schema(place.data_path(partition), filesystem=None if place.local else place.files)
    except FileNotFoundError:
        return None
    return schema.remove_metadata()


def parquet_source(place: Place, partitions: Sequence[Partition]) -> Source:
    """The files of these parts as one relation. Raises `ConfigurationFailed` when one is gone."""
    paths = [place.data_path(one) for one in partitions]
    # A year of days in a bucket is hundreds of small reads: one after the other they would take longer than the task.
    with ThreadPoolExecutor(min(_LOOKS_AT_ONCE, len(paths))) as pool:
        seen = list(pool.map(lambda path: _looked_at(place, path), paths))
    versions = [one.version for one in seen]
    together = pa.unify_schemas([one.schema for one in seen], promote_options="permissive")
    return Source(
        dataset=ds.dataset(paths, schema=together, format="parquet", filesystem=None if place.local else place.files),
        location=place.url,
        urls=[place.url_of(path) for path in paths],
        format="parquet",
        version=versions[0] if len(set(versions)) == 1 else "",
        versions=versions,
        byte_size=sum(one.byte_size for one in seen),
        local=place.local,
    )


class _Seen(NamedTuple):
    """What the end of a file says."""

    schema: Any
    version: str
    byte_size: int


def _looked_at(place: Place, path: str) -> _Seen:
    try:
        schema = pq.read_schema(path, filesystem=None if place.local else place.files)
        size = place.size(path)
    except FileNotFoundError:
        raise ConfigurationFailed(f"{place.url_of(path)} is gone: make it again") from None
    return _Seen(schema.remove_metadata(), (schema.metadata or {}).get(VERSION_KEY, b"").decode(), size)
