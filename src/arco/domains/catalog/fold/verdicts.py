"""The refusals of the catalog's fold: stable codes, public texts in the contract's words (catalog.md 2.8, 4.1).

All but `stale_base` are final: they are facts about the catalog at that moment, kept with the idempotency key.
"""

from typing import Final

from arco.kernel.fold import Accepted, Rejected, Subject

ALREADY_EXISTS: Final = "already_exists"
NOT_FOUND: Final = "not_found"
PARENT_NOT_FOUND: Final = "parent_not_found"
NOT_EMPTY: Final = "not_empty"
IDENTITY_MISMATCH: Final = "identity_mismatch"
ID_COLLISION: Final = "id_collision"
STALE_BASE: Final = "stale_base"
RESERVED_NAME: Final = "reserved_name"

CODES: Final = frozenset(
    {
        ALREADY_EXISTS,
        NOT_FOUND,
        PARENT_NOT_FOUND,
        NOT_EMPTY,
        IDENTITY_MISMATCH,
        ID_COLLISION,
        STALE_BASE,
        RESERVED_NAME,
    }
)
"""Every code this domain refuses a unit with."""

NOTHING: Final = Accepted()
"""The event changed nothing."""


def done(operation: str, object_type: str, object_id: str, object_name: str) -> Accepted:
    """The event is a fact, and this is what history says of it."""
    return Accepted(Subject(operation, object_type, object_id, object_name))


def already_exists(entity: str, name: str) -> Rejected:
    """The name is taken in its parent."""
    return Rejected(ALREADY_EXISTS, f"{entity} already exists: {name}")


def not_found(entity: str, name: str) -> Rejected:
    """No object has the id that was to be changed; `name` is what the event calls it."""
    return Rejected(NOT_FOUND, f"{entity} not found: {name}")


def parent_not_found(entity: str, object_id: str) -> Rejected:
    """No object has the id that was named as the parent."""
    return Rejected(PARENT_NOT_FOUND, f"{entity} not found: {object_id}")


def not_empty(entity: str, name: str, content: str) -> Rejected:
    """The object still holds others."""
    return Rejected(NOT_EMPTY, f"{entity} '{name}' contains {content}, cannot delete")


def identity_mismatch(entity: str, name: str) -> Rejected:
    """The object with this id has another name or parent than the event says."""
    return Rejected(IDENTITY_MISMATCH, f"{entity} '{name}' has another name or parent now")


def id_collision(entity: str, object_id: str) -> Rejected:
    """Another object has this id already."""
    return Rejected(ID_COLLISION, f"another {entity} has the id {object_id}")


def reserved_name(entity: str, name: str) -> Rejected:
    """The name has a meaning of its own and may be neither given nor taken away."""
    return Rejected(RESERVED_NAME, f"{entity} name '{name}' is reserved and cannot be renamed to or from")


def stale_base(entity: str, name: str, *, base: int | None, current: int) -> Rejected | None:
    """The refusal when the row was changed since the event was made from version `base`; None when it was not."""
    if base is None or base == current:
        return None
    message = f"{entity} '{name}' was changed: version {current}, not {base}"
    return Rejected(STALE_BASE, message, final=False)
