"""What a chain is made of on storage: manifests, pages, deltas, pointers, commit records (catalog.md 2.4, 2.5).

A manifest is the immutable root of the state after one commit. The contract's camelCase fields stay; `tables` holds
the trees of segments, `deltas` the changes that are not in them yet, oldest first, and `inline` the bodies of the small
ones. Everything is compact JSON, so that any engine can find its way with nothing but the manifest.
"""

from typing import Any, Final, TypeVar

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.errors import CorruptData
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Outcome
from arco.kernel.spec import RowKey

T = TypeVar("T")

FORMAT_VERSION: Final = 1


class Ref(msgspec.Struct, frozen=True, omit_defaults=True):
    """A segment, or a page of refs: where it is, what it holds, and how to know it is whole.

    `bytes` is the object's own size; `below_bytes` of a page is that of all segments under it.
    """

    path: str
    rows: int
    bytes: int
    sha256: str
    min_key: RowKey
    max_key: RowKey
    below_bytes: int = 0


class TableTree(msgspec.Struct, frozen=True):
    """One table: `level` 0 means `refs` are segments, otherwise pages of the level below."""

    level: int = 0
    rows: int = 0
    refs: tuple[Ref, ...] = ()


class Page(msgspec.Struct, frozen=True):
    """A page: refs in key order; `level` 0 means they are segments."""

    level: int
    refs: tuple[Ref, ...]


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """Changes newer than the trees. `path` None means the body is `inline[delta_id]` of the manifest."""

    delta_id: str
    tier: int
    rows: int
    bytes: int
    tables: tuple[str, ...]
    path: str | None = None
    sha256: str | None = None


class CommitRef(msgspec.Struct, frozen=True):
    """The commit record of a manifest."""

    path: str
    sha256: str
    bytes: int
    units: int


class SnapshotInfo(msgspec.Struct, frozen=True, rename="camel"):
    """The contract's snapshot summary. `files` is superseded by the manifest's `tables`."""

    version: int
    path: str
    published_at: str
    total_rows: int
    total_bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The state of a chain after one commit."""

    format_version: int = FORMAT_VERSION
    manifest_id: str
    epoch: int
    previous_manifest_path: str | None = None
    parent_hash: str | None = None
    snapshot_version: int
    snapshot_path: str
    edges_path: str
    base_path: str
    snapshot: SnapshotInfo | None = None
    watermark_event_id: str | None = None
    last_commit_id: str | None = None
    commit_ulid: str | None = None
    fencing_token: int | None = None
    writer_session_id: str | None = None
    updated_at: str
    attempt: str
    commit: CommitRef | None = None
    fold_version: int = 1
    counts: dict[str, int] = {}
    domain_manifests: dict[str, str] = {}
    table_manifests: dict[str, str] = {}
    tables: dict[str, TableTree] = {}
    deltas: tuple[Delta, ...] = ()
    inline: dict[str, msgspec.Raw] = {}

    @property
    def number(self) -> int:
        """The manifest id as a number."""
        return int(self.manifest_id)


class Pointer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A domain's pointer: a hint at a recent manifest."""

    manifest_id: str
    manifest_path: str
    epoch: int
    updated_at: str
    parent_pointer_hash: str | None = None


class CompactionCounts(msgspec.Struct, frozen=True, rename="camel"):
    """How much was ever compacted into a domain."""

    total_events_compacted: int
    total_files_written: int


class HintManifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A domain's manifest that is swapped in place (catalog.md 2.6); it reads as a `Pointer` too.

    The state itself lies under the chain's manifest that `manifest_path` names, so there is no snapshot file.
    """

    manifest_id: str
    manifest_path: str
    epoch: int
    previous_manifest_path: str | None
    watermark_version: int
    checkpoint_path: str
    snapshot_path: str | None
    snapshot_version: int
    watermark_event_id: str
    watermark_position: int
    last_compaction_at: str
    compaction: CompactionCounts
    fencing_token: int | None
    commit_ulid: str | None
    updated_at: str


class TableDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """Changes of one table in a delta body; rows stay JSON until their spec is known."""

    put: tuple[msgspec.Raw, ...] = ()
    delete: tuple[RowKey, ...] = ()


class CommitInputs(msgspec.Struct, frozen=True):
    """Everything a fold used that is not in the units."""

    now_ms: int
    commit_ulid: str
    fold_version: int
    epoch: int


class CommittedUnit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A unit as it was folded, with its outcome."""

    events: tuple[Envelope, ...]
    outcome: Outcome


class CommitRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The log of one commit: units in fold order with their outcomes, and the previous manifest's hash."""

    manifest_id: str
    attempt: str
    parent_hash: str | None
    inputs: CommitInputs
    units: tuple[CommittedUnit, ...] = ()


_ENCODER = msgspec.json.Encoder()
_MANIFEST = msgspec.json.Decoder(Manifest)
_PAGE = msgspec.json.Decoder(Page)
_POINTER = msgspec.json.Decoder(Pointer)
_RECORD = msgspec.json.Decoder(CommitRecord)


def encode(value: Any) -> bytes:
    """Compact JSON of any of the structs above."""
    return _ENCODER.encode(value)


def hash_text(body: bytes) -> str:
    """`sha256:` and the hash of raw bytes."""
    return "sha256:" + sha256_hex(body)


def decode_manifest(body: bytes) -> Manifest:
    """A manifest from its raw bytes. Raises `CorruptData`."""
    manifest = _decoded(_MANIFEST, body, "manifest")
    if not manifest.manifest_id.isdecimal():
        raise CorruptData(f"a stored manifest is not readable: its id is {manifest.manifest_id!r}")
    if manifest.format_version > FORMAT_VERSION:
        raise CorruptData(f"manifest {manifest.manifest_id} has format {manifest.format_version}; upgrade arco")
    return manifest


def decode_page(body: bytes) -> Page:
    """A page from its raw bytes. Raises `CorruptData`."""
    return _decoded(_PAGE, body, "page")


def decode_pointer(body: bytes) -> Pointer:
    """A pointer from its raw bytes. Raises `CorruptData`."""
    return _decoded(_POINTER, body, "pointer")


def decode_commit_record(body: bytes) -> CommitRecord:
    """A commit record from its raw bytes. Raises `CorruptData`."""
    return _decoded(_RECORD, body, "commit record")


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptData(f"a stored {what} is not readable: {error}") from error
