"""Who may write the next version of a Delta table, decided in fold order. Pure (catalog.md 4.10).

Guarantees: versions are handed out densely; at most one reservation of a table is open; it ends by `recorded`, or by
`overtaken` once its version was seen in the log with other bytes. It is never given up for its age: its writer may
sleep and still write, so whoever comes after its time *finishes* it instead, with the very same bytes. Only when those
bytes are gone too is it `abandoned`; should a sleeper still write the version, whoever is given it next finds that out
from the log.

No refusal is final: what refuses is the state of that moment, and the key that names a commit is kept by the record.
"""

from typing import Any, Final

import msgspec

from arco.core import paths
from arco.core.errors import unreachable
from arco.core.limits import DELTA_RESERVATION_MS
from arco.domains.delta.events import DELTA_COMMIT, Abandoned, Overtaken, Recorded, Reserved, decoded
from arco.domains.delta.rows import (
    ALL,
    DELTA,
    DELTA_KEYS,
    DELTA_TABLES,
    RESERVATIONS,
    DeltaKeyRow,
    DeltaTableRow,
    ReservationRow,
)
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Accepted, Decision, FoldContext, Rejected, Subject, View
from arco.kernel.spec import TableSpec

COMMITTED: Final = "already_committed"
KEY_REUSED: Final = "key_reused"
RESERVED: Final = "already_reserved"
STALE: Final = "stale_read_version"
MOVED: Final = "table_moved"
SUPERSEDED: Final = "reservation_gone"

NONE_YET: Final = -1
"""The latest version of a table without any."""


class DeltaDomain:
    """Delta commits on the kernel; implements `kernel.fold.Domain`."""

    name: Final = DELTA
    event_types: Final = frozenset({DELTA_COMMIT})
    tables: Final[tuple[TableSpec[Any], ...]] = ALL

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Decide one event. Raises `NotLoaded`, `UnsupportedEvent`, `InvalidEvent`."""
        match decoded(event):
            case Reserved() as reserved:
                return _reserved(view, reserved, context.now_ms)
            case Recorded() as recorded:
                return _recorded(view, recorded, context.now_ms)
            case Overtaken() as overtaken:
                return _overtaken(view, overtaken, context.now_ms)
            case Abandoned() as abandoned:
                return _abandoned(view, abandoned, context.now_ms)
        return unreachable("every Delta event has a fold")


def _reserved(view: View, event: Reserved, now_ms: int) -> Decision:
    done = view.get(DELTA_KEYS, (event.table_id, event.key_hash))
    if done is not None:
        return _known(done, event)
    table = view.get(DELTA_TABLES, (event.table_id,))
    held = view.get(RESERVATIONS, (event.table_id,))
    if table is not None and held is None and table.latest_version == NONE_YET:
        table = None  # nothing was ever written where it lay
    if table is not None and table.table_root != event.table_root:
        return _moved(table, event.table_root)
    if held is not None:
        return _again(held, event, now_ms)
    latest = NONE_YET if table is None else table.latest_version
    if event.read_version != latest:
        return _no(STALE, f"stale read_version: expected {latest}, got {event.read_version}", latest_version=latest)
    view.put(
        RESERVATIONS,
        ReservationRow(
            table_id=event.table_id,
            commit_id=event.commit_id,
            key_hash=event.key_hash,
            request_hash=event.request_hash,
            read_version=event.read_version,
            version=latest + 1,
            staged_path=event.staged_path,
            staged_version=event.staged_version,
            started_at=now_ms,
            expires_at=now_ms + DELTA_RESERVATION_MS,
            payload_sha256=event.payload_sha256,
        ),
    )
    if table is None:
        view.put(
            DELTA_TABLES,
            DeltaTableRow(
                table_id=event.table_id, table_root=event.table_root, latest_version=NONE_YET, updated_at=now_ms
            ),
        )
    return Accepted()


def _known(done: DeltaKeyRow, event: Reserved) -> Decision:
    if done.request_hash != event.request_hash:
        return _no(KEY_REUSED, "Idempotency-Key already used with different request body")
    return _no(COMMITTED, f"version {done.version} was committed with this key", version=done.version)


def _again(held: ReservationRow, event: Reserved, now_ms: int) -> Decision:
    """Somebody holds the next version: the same request goes on with it, others wait, or finish it when it is old."""
    if held.key_hash == event.key_hash:
        if held.request_hash != event.request_hash:
            return _no(KEY_REUSED, "Idempotency-Key already used with different request body")
        return Accepted()
    overdue = "yes" if now_ms >= held.expires_at else "no"
    return _no(
        RESERVED, "delta commit already reserved; retry later", overdue=overdue, latest_version=held.read_version
    )


def _recorded(view: View, event: Recorded, now_ms: int) -> Decision:
    held = view.get(RESERVATIONS, (event.table_id,))
    if held is None or (held.commit_id, held.version) != (event.commit_id, event.version):
        return _no(SUPERSEDED, f"version {event.version} is not reserved by commit {event.commit_id}")
    table = view.get(DELTA_TABLES, (event.table_id,))
    if table is None:
        return unreachable("a reservation has a table")
    view.put(DELTA_TABLES, msgspec.structs.replace(table, latest_version=held.version, updated_at=now_ms))
    view.put(
        DELTA_KEYS,
        DeltaKeyRow(
            table_id=held.table_id,
            key_hash=held.key_hash,
            request_hash=held.request_hash,
            read_version=held.read_version,
            staged_path=held.staged_path,
            version=held.version,
            delta_log_path=paths.delta_log(table.table_root, held.version),
            committed_at=now_ms,
        ),
    )
    view.delete(RESERVATIONS, (event.table_id,))
    return _done(held.table_id, "delta_committed", held.version)


def _overtaken(view: View, event: Overtaken, now_ms: int) -> Decision:
    held = view.get(RESERVATIONS, (event.table_id,))
    if held is not None and (held.commit_id != event.commit_id or held.version > event.latest_version):
        # Somebody reserved meanwhile; what the event saw is older than that, or not about it.
        return _no(RESERVED, "delta commit already reserved; retry later", latest_version=held.read_version)
    table = view.get(DELTA_TABLES, (event.table_id,))
    if table is not None and table.table_root != event.table_root:
        return _moved(table, event.table_root)
    if held is not None:
        view.delete(RESERVATIONS, (event.table_id,))
    if table is not None and table.latest_version >= event.latest_version:
        return Accepted()
    view.put(
        DELTA_TABLES,
        DeltaTableRow(
            table_id=event.table_id,
            table_root=event.table_root,
            latest_version=event.latest_version,
            updated_at=now_ms,
        ),
    )
    return _done(event.table_id, "delta_adopted", event.latest_version)


def _abandoned(view: View, event: Abandoned, now_ms: int) -> Decision:
    held = view.get(RESERVATIONS, (event.table_id,))
    if held is None or held.commit_id != event.commit_id:
        return _no(SUPERSEDED, f"nothing is reserved by commit {event.commit_id}")
    if now_ms < held.expires_at:
        return _no(RESERVED, "delta commit already reserved; retry later", latest_version=held.read_version)
    view.delete(RESERVATIONS, (event.table_id,))
    return Accepted()


def _moved(table: DeltaTableRow, root: str) -> Rejected:
    return _no(MOVED, f"the log of this table is at '{table.table_root}' and its location is '{root}' now; set it back")


def _done(table_id: str, operation: str, version: int) -> Accepted:
    return Accepted(Subject(operation, "table", table_id, f"version {version}"))


def _no(code: str, message: str, **details: object) -> Rejected:
    return Rejected(code, message, {name: str(value) for name, value in details.items()}, final=False)
