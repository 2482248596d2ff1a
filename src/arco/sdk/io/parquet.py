"""Assets as Parquet: one file for each part, replaced in one step, that says which materialization wrote it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from arco.sdk.errors import ConfigurationFailed
from arco.sdk.io.parts import Fitted
from arco.sdk.io.places import Place
from arco.sdk.io.port import Staged, Writing
from arco.sdk.io.source import Source
from arco.sdk.partitions import Partition

VERSION_KEY: Final = b"arco.materialization_id"


def write_parquet(place: Place, writing: Writing, staged: Staged, *, fit: Fitted, version: str) -> tuple[str, int]:
    """Make a result the file of its part. Returns its path and its bytes."""
    import pyarrow.parquet as pq  # noqa: PLC0415  # only a task that made a table needs it

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
    import pyarrow.parquet as pq  # noqa: PLC0415  # only a task that made a table needs it

    try:
        schema = pq.read_schema(place.data_path(partition), filesystem=None if place.local else place.files)
    except FileNotFoundError:
        return None
    return schema.remove_metadata()


def parquet_source(place: Place, partitions: Sequence[Partition]) -> Source:
    """The files of these parts as one relation. Raises `ConfigurationFailed` when one is gone."""
    import pyarrow as pa  # noqa: PLC0415  # only a task that reads a table needs it
    import pyarrow.dataset as ds  # noqa: PLC0415  # only a task that reads a table needs it
    import pyarrow.parquet as pq  # noqa: PLC0415  # only a task that reads a table needs it

    paths = [place.data_path(one) for one in partitions]
    files = None if place.local else place.files
    schemas, versions = [], []
    for path in paths:
        try:
            schema = pq.read_schema(path, filesystem=files)
        except FileNotFoundError:
            raise ConfigurationFailed(f"{place.url_of(path)} is gone: make it again") from None
        versions.append((schema.metadata or {}).get(VERSION_KEY, b"").decode())
        schemas.append(schema.remove_metadata())
    together = pa.unify_schemas(schemas, promote_options="permissive")
    return Source(
        dataset=ds.dataset(paths, schema=together, format="parquet", filesystem=files),
        location=place.url,
        urls=[place.url_of(path) for path in paths],
        format="parquet",
        version=versions[0] if len(set(versions)) == 1 else "",
        byte_size=sum(place.size(path) for path in paths),
        local=place.local,
    )
