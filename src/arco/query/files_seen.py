"""Data files as the engine sees them, in a sandbox child: bytes under names, behind lazy datasets.

A dataset is handed the columns and filters a query needs, and decodes no more. There is no file system underneath:
`_Bytes` knows the names it was given and nothing else. Source: catalog.md 7.5, abuse-cases A-39.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow.fs import FileInfo, FileSystemHandler, FileType, PyFileSystem

from arco.query.delta_log import DeltaVersion, read_log

_REFUSED: Final = "data files of a query are only read"


def parquet_dataset(files: Mapping[str, pa.Buffer], base: str | None) -> ds.Dataset:
    """Parquet files as one relation; `key=value` folders below `base` are columns."""
    options = ds.FileSystemFactoryOptions()
    if base is not None:
        options.partition_base_dir = base
        options.partitioning_factory = ds.HivePartitioning.discover()
    factory = ds.FileSystemDatasetFactory(_file_system(files), list(files), ds.ParquetFileFormat(), options)
    return factory.finish(factory.inspect(promote_options="permissive"))


def delta_dataset(location: str, log: Mapping[str, pa.Buffer], files: Mapping[str, pa.Buffer]) -> ds.Dataset:
    """The latest version of a Delta table as a relation. Raises `InvalidInput`."""
    from deltalake import Schema  # noqa: PLC0415  # loaded before the fork

    version = read_log(location, log)
    schema = pa.schema(Schema.from_json(version.schema_json).to_arrow())
    parquet = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"))
    file_system = _file_system(files)
    fragments = [
        parquet.make_fragment(file.path, file_system, _partition(version, file.partition, schema))
        for file in version.files
    ]
    return ds.FileSystemDataset(fragments, schema, parquet, file_system)


def _partition(version: DeltaVersion, values: Mapping[str, str | None], schema: pa.Schema) -> Any:
    expression = None
    for name in version.partition_columns:
        text, field = values.get(name), ds.field(name)
        one = (field == _scalar(text, schema.field(name).type)) if text else field.is_null()
        expression = one if expression is None else expression & one
    return expression


def _scalar(text: str, kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.scalar(text.encode("utf-8", "surrogateescape"), kind)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        naive = pa.scalar(text.removesuffix("Z").replace("T", " ")).cast(pa.timestamp(kind.unit))
        return pc.assume_timezone(naive, "UTC").cast(kind)
    return pa.scalar(text).cast(kind)


def _file_system(files: Mapping[str, pa.Buffer]) -> PyFileSystem:
    return PyFileSystem(_Bytes(files))


class _Bytes(FileSystemHandler):  # type: ignore[misc]  # its base is published without types
    """Names and their bytes; whatever would write or look around is refused."""

    def __init__(self, files: Mapping[str, pa.Buffer]) -> None:
        self._files = files

    def get_type_name(self) -> str:
        """What kind of file system this is."""
        return "given"

    def normalize_path(self, path: str) -> str:
        """The path as it is."""
        return path

    def get_file_info(self, paths: Sequence[str]) -> list[FileInfo]:
        """What is known of each name."""
        return [
            FileInfo(path, FileType.File, size=self._files[path].size)
            if path in self._files
            else FileInfo(path, FileType.NotFound)
            for path in paths
        ]

    def get_file_info_selector(self, selector: Any) -> list[FileInfo]:
        """Nothing: there are no folders."""
        return []

    def open_input_file(self, path: str) -> pa.NativeFile:
        """The bytes under a name, for reading anywhere."""
        return pa.BufferReader(self._found(path))

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """The bytes under a name, for reading on."""
        return pa.BufferReader(self._found(path))

    def _found(self, path: str) -> pa.Buffer:
        if path not in self._files:
            raise FileNotFoundError(path)
        return self._files[path]

    def _no(self, *_: Any, **__: Any) -> Any:
        raise PermissionError(_REFUSED)

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _no
    move = copy_file = open_output_stream = open_append_stream = _no
