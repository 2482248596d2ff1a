"""The domain simulated clients write to: lists that tokens are appended to, and names that are made, moved and dropped.

Small, and with everything a real domain does to the kernel: several tables in one unit, definite refusals that are kept
with an idempotency key and ones that are not, preconditions on a row's version, ranges, subjects.
"""

from typing import Any, Final

import msgspec

from arco.kernel.envelope import Envelope
from arco.kernel.fold import Accepted, Decision, FoldContext, InvalidEvent, Rejected, Subject, UnsupportedEvent, View
from arco.kernel.spec import Row, TableSpec

APPENDED: Final = "sim.appended"
NAMED: Final = "sim.named"
UNHEARD_OF: Final = "sim.unheard_of"
"""A type this build does not know: its units stay pending."""


class ListRow(Row, frozen=True, kw_only=True, gc=False):
    """A list: its tokens in the order they were appended, separated by spaces."""

    name: str
    tokens: str
    row_version: int


class NameRow(Row, frozen=True, kw_only=True, gc=False):
    """A name that is taken, and by which object."""

    name: str
    object_id: str
    row_version: int


class ObjectRow(Row, frozen=True, kw_only=True, gc=False):
    """The same found by object."""

    object_id: str
    name: str
    padding: str | None = None


LISTS: Final = TableSpec("lists", ListRow, key=("name",), domain="catalog")
NAMES: Final = TableSpec("names", NameRow, key=("name",), domain="catalog")
OBJECTS: Final = TableSpec("objects", ObjectRow, key=("object_id",), domain="lineage")


class Appended(msgspec.Struct, frozen=True):
    """A token for the end of each of these lists."""

    lists: list[str]
    token: str
    padding: str = ""


class Named(msgspec.Struct, frozen=True):
    """A name made (`new` only), moved (`old` and `new`) or dropped (`old` only)."""

    old: str = ""
    new: str = ""
    object_id: str = ""


class SimDomain:
    """Implements `kernel.fold.Domain`."""

    name = "catalog"
    event_types = frozenset({APPENDED, NAMED})
    tables: tuple[TableSpec[Any], ...] = (LISTS, NAMES, OBJECTS)

    def fold(self, view: View, event: Envelope, _context: FoldContext) -> Decision:
        """Decide one event."""
        if event.event_type == APPENDED:
            return _append(view, _decoded(event, Appended))
        if event.event_type == NAMED:
            return _name(view, event, _decoded(event, Named))
        raise UnsupportedEvent(event.event_type)


def _decoded(event: Envelope, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(event.payload, type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidEvent(str(error)) from error


def _append(view: View, body: Appended) -> Decision:
    for name in body.lists:
        old = view.get(LISTS, (name,))
        tokens = f"{old.tokens} {body.token}" if old else body.token
        view.put(LISTS, ListRow(name=name, tokens=tokens, row_version=old.row_version + 1 if old else 1))
    return Accepted(Subject("appended", "list", body.lists[0], body.token))


def _name(view: View, event: Envelope, body: Named) -> Decision:
    if not body.old:
        return _made(view, body)
    old = view.get(NAMES, (body.old,))
    if old is None:
        return Rejected("not_found", f"no such name: {body.old}")
    if event.base_row_version is not None and event.base_row_version != old.row_version:
        return Rejected("stale_base", "changed meanwhile", final=False)
    view.delete(NAMES, (body.old,))
    if not body.new:
        view.delete(OBJECTS, (old.object_id,))
        return Accepted(Subject("dropped", "name", old.object_id, body.old))
    if view.get(NAMES, (body.new,)) is not None:
        return Rejected("already_exists", f"taken: {body.new}")
    view.put(NAMES, NameRow(name=body.new, object_id=old.object_id, row_version=old.row_version + 1))
    view.put(OBJECTS, ObjectRow(object_id=old.object_id, name=body.new))
    return Accepted(Subject("renamed", "name", old.object_id, body.new))


def _made(view: View, body: Named) -> Decision:
    if next(iter(view.scan(NAMES, (body.new,), limit=1)), None) is not None:
        return Rejected("already_exists", f"taken: {body.new}")
    view.put(NAMES, NameRow(name=body.new, object_id=body.object_id, row_version=1))
    view.put(OBJECTS, ObjectRow(object_id=body.object_id, name=body.new))
    return Accepted(Subject("made", "name", body.object_id, body.new))
