"""What a commit's payload must be: newline-delimited Delta actions (the Delta protocol's "Actions"). Pure.

A commit is checked before it is staged, because once it is in a log every reader of the table depends on it. Messages
name the line and the field. Paths must stay inside the table: a reader follows them with its own rights.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import msgspec

from arco.core.errors import InvalidInput
from arco.core.limits import DELTA_PAYLOAD_BYTES_MAX
from arco.domains.delta.actions import ONCE, SHAPES, Add, Cdc, MetaData, Protocol, Remove

_SHOWN: Final = 80
_READER_WITH_FEATURES: Final = 3
_WRITER_WITH_FEATURES: Final = 7
_LINES_AT_ONCE: Final = 500
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ESCAPED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_DECODINGS: Final = 3


class _DuplicateKey(ValueError):
    pass


class PayloadCheck:
    """Checks one payload, a part at a time, so that a large one does not hold up a server's other callers."""

    def __init__(self, payload: str) -> None:
        self._payload = payload
        self._seen: dict[str, int] = {}
        self._files: dict[tuple[str, str, str], int] = {}

    def parts(self) -> Iterator[None]:
        """Check everything, pausing now and then. Raises `InvalidInput` naming line and field."""
        try:
            size = len(self._payload.encode())
        except UnicodeEncodeError:
            raise InvalidInput("payload must be text that can be written in UTF-8") from None
        if size > DELTA_PAYLOAD_BYTES_MAX:
            raise InvalidInput(f"payload must not be longer than {DELTA_PAYLOAD_BYTES_MAX} bytes")
        if not self._payload.strip():
            raise InvalidInput("payload must hold at least one Delta action")
        # Only a line feed ends an action; `splitlines` would cut texts at other separators.
        for number, line in enumerate(self._payload.removesuffix("\n").split("\n"), 1):
            self._line(number, line)
            if number % _LINES_AT_ONCE == 0:
                yield

    def _line(self, number: int, line: str) -> None:
        where = f"payload line {number}"
        name, body = _one_action(where, line)
        shape = SHAPES.get(name)
        if shape is None:
            known = ", ".join(SHAPES)
            raise InvalidInput(f"{where}: {name[:_SHOWN]!r} is not an action of a commit; expected one of {known}")
        try:
            action = msgspec.convert(body, shape)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{where}: {_located(name, str(error))}") from None
        first = self._seen.setdefault(name, number)
        if name in ONCE and first != number:
            raise InvalidInput(f"{where}: {name} was given on line {first} already; a commit has at most one")
        match action:
            case Protocol():
                _check_protocol(where, action)
            case MetaData():
                _check_metadata(where, action)
            case Add() | Remove():
                self._file(number, name, action)
            case Cdc():
                _check_path(f"{where}: cdc.path", action.path)
                if action.data_change:
                    raise InvalidInput(f"{where}: cdc.dataChange must be false")

    def _file(self, number: int, name: str, action: Add | Remove) -> None:
        where = f"payload line {number}: {name}"
        _check_path(f"{where}.path", action.path)
        if isinstance(action, Add) and action.stats is not None and not _is_json_object(action.stats):
            raise InvalidInput(f"{where}.stats must be a JSON object written as text")
        vector = action.deletion_vector
        if vector is not None and vector.storage_type not in ("u", "i"):
            sentence = f"{where}.deletionVector.storageType must be 'u' or 'i'; an absolute path leaves the table"
            raise InvalidInput(sentence)
        key = (name, action.path, "" if vector is None else f"{vector.storage_type}{vector.path_or_inline_dv}")
        first = self._files.setdefault(key, number)
        if first != number:
            raise InvalidInput(f"{where}.path {action.path[:_SHOWN]!r} was given on line {first} already")


def creates_a_table(payload: bytes) -> bool:
    """Whether a payload that was checked before carries `protocol` and `metaData`, as version 0 must."""
    names = {next(iter(json.loads(line))) for line in payload.split(b"\n") if line.strip()}
    return {"protocol", "metaData"} <= names


def _one_action(where: str, line: str) -> tuple[str, Any]:
    if not line.strip():
        raise InvalidInput(f"{where} is empty; write one Delta action on each line")
    try:
        actions = json.loads(line, object_pairs_hook=_unique, parse_constant=_refused)
    except _DuplicateKey as error:
        raise InvalidInput(f"{where}: the key {error} is given twice in one object") from None
    except (ValueError, RecursionError):
        raise InvalidInput(f"{where} is not JSON; write one Delta action on each line") from None
    if not isinstance(actions, dict) or len(actions) != 1:
        raise InvalidInput(f'{where} must be an object with exactly one action, for instance {{"add": ...}}')
    ((name, body),) = actions.items()
    return name, body


def _located(name: str, text: str) -> str:
    """A msgspec message with the field first: `add.size: expected int, got str`."""
    what, _, path = text.partition(" - at `$")
    field = name + path.removesuffix("`") if path else name
    return f"{field}: {what[:1].lower()}{what[1:]}".replace("`", "")


def _check_protocol(where: str, protocol: Protocol) -> None:
    features = (
        ("readerFeatures", protocol.reader_features, protocol.min_reader_version, _READER_WITH_FEATURES),
        ("writerFeatures", protocol.writer_features, protocol.min_writer_version, _WRITER_WITH_FEATURES),
    )
    for field, given, version, named in features:
        if version > named:
            raise InvalidInput(f"{where}: protocol version {version} is not known; the highest is {named}")
        if given is not None and version != named:
            raise InvalidInput(f"{where}: protocol.{field} needs version {named}, not {version}")
        if given is None and version == named:
            raise InvalidInput(f"{where}: protocol.{field} is required with version {named}")
    missing = sorted(set(protocol.reader_features or ()) - set(protocol.writer_features or ()))
    if missing:
        raise InvalidInput(
            f"{where}: protocol.writerFeatures must also hold the reader feature {missing[0][:_SHOWN]!r}"
        )


def _check_metadata(where: str, metadata: MetaData) -> None:
    if metadata.format.provider != "parquet":
        raise InvalidInput(f"{where}: metaData.format.provider must be 'parquet'")
    try:
        schema = json.loads(metadata.schema_string)
        columns = {str(field["name"]) for field in schema["fields"]}
        fits = schema["type"] == "struct"
    except (ValueError, TypeError, KeyError, RecursionError):
        fits, columns = False, set()
    if not fits:
        raise InvalidInput(f"{where}: metaData.schemaString must be a Delta struct type, as JSON text")
    for column in metadata.partition_columns:
        if column not in columns:
            shown = repr(column[:_SHOWN])
            raise InvalidInput(f"{where}: metaData.partitionColumns names {shown}, which is not in the schema")


def _check_path(field: str, path: str) -> None:
    """Raises `InvalidInput` unless the path names a file below the table, however often it is decoded."""
    if _SCHEME.match(path):
        raise InvalidInput(f"{field} must be relative to the table; a URI with a scheme leaves it")
    # Some readers decode once, some compare raw, some twice: no spelling may leave.
    spelling = path
    for _ in range(_DECODINGS):
        segments = spelling.replace("\\", "/").split("/")
        if spelling.startswith(("/", "\\")) or not {".", ".."}.isdisjoint(segments):
            raise InvalidInput(f"{field} must stay inside the table: no leading slash, no '.' and '..' segments")
        if any(ord(char) < 32 or ord(char) == 127 for char in spelling):
            raise InvalidInput(f"{field} must not contain control characters")
        if segments[0] == "_delta_log":
            raise InvalidInput(f"{field} must not name a file of the log")
        spelling = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), spelling)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(json.dumps(key[:_SHOWN]))
            seen.add(key)
    return found


def _refused(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
