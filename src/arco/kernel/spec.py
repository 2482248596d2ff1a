"""Tables declared once: a row struct and its key; schema, codec, SQL view and docs derive from it.

Pure: no Arrow here (`kernel.codec` turns a spec into an Arrow schema). Field types are `str`, `int` (Int64),
`Int32`, `Uint32`, `Float32`, `bool`, and each of them `| None`. Key fields are `str` or `int` and never null; keys
order by field, text by UTF-8 bytes (which is code-point order).
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, Final, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec

Int32 = Annotated[int, "int32"]
Uint32 = Annotated[int, "uint32"]
Float32 = Annotated[float, "float32"]

RowKey = tuple[str | int, ...]
"""The values of a row's key fields, in key order; a prefix of one is a range of rows."""


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all rows: flat, immutable, scalar fields only."""


R = TypeVar("R", bound=Row)

_KINDS: Final[dict[Any, str]] = {str: "utf8", int: "int64", bool: "bool", float: "float64"}


class FieldSpec(msgspec.Struct, frozen=True):
    """One column: its name, its kind (`utf8 int64 int32 uint32 bool float32 float64`), and nullability."""

    name: str
    kind: str
    nullable: bool


class TableSpec(Generic[R]):
    """A table of a chain: `name` is unique in the chain, `domain` is whose pointer its changes move.

    `private` fields are stored but not shown in SQL or documentation. `bulky` fields are most of a row's bytes and no
    part of its key; `lean` are the others: lists that ask for no bulky one are read without them.
    """

    def __init__(
        self,
        name: str,
        row: type[R],
        *,
        key: tuple[str, ...],
        domain: str,
        private: frozenset[str] = frozenset(),
        bulky: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.row = row
        self.key = key
        self.domain = domain
        self.private = private
        self.bulky = bulky
        self.fields = tuple(_fields(row))
        names = [field.name for field in self.fields]
        self.lean = tuple(name for name in names if name not in bulky)
        self._key_getter = _key_getter(key)
        self.key_indexes = tuple(names.index(part) for part in key)

    def key_index(self, part: str) -> int:
        """The position of a key field among the fields."""
        return self.key_indexes[self.key.index(part)]

    def key_of(self, row: R) -> RowKey:
        """The key of a row."""
        return self._key_getter(row)

    @property
    def public_fields(self) -> tuple[FieldSpec, ...]:
        """The columns everybody may see, in order."""
        return tuple(field for field in self.fields if field.name not in self.private)

    def __repr__(self) -> str:
        return f"TableSpec({self.name!r})"


def _key_getter(key: tuple[str, ...]) -> Callable[[Row], RowKey]:
    getter: Callable[[Row], Any] = attrgetter(*key)
    return getter if len(key) > 1 else lambda row: (getter(row),)


def _fields(row: type[Row]) -> list[FieldSpec]:
    hints = get_type_hints(row, include_extras=True)
    return [_field(name, hints[name]) for name in row.__struct_fields__]


def _field(name: str, hint: Any) -> FieldSpec:
    nullable = False
    if type(None) in get_args(hint):
        nullable = True
        (hint,) = (arg for arg in get_args(hint) if arg is not type(None))
    if get_origin(hint) is Annotated:
        return FieldSpec(name, get_args(hint)[1], nullable)
    if hint not in _KINDS:
        raise TypeError(f"{name}: a row field cannot be a {hint!r}")
    return FieldSpec(name, _KINDS[hint], nullable)
