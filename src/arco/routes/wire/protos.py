"""Protobuf files declared as tables: message classes and the `.proto` text are made of the same declaration.

A field is its name, its number and its type: a scalar, `Timestamp`, `map<string,string>`, a message or an enum, of this
file or of one it imports. `?` after a type is optional, `*` is repeated, `|name` puts it into a oneof.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from google.protobuf import descriptor_pb2

TIMESTAMP: Final = "Timestamp"
TEXTS: Final = "map<string,string>"

Field = tuple[str, int, str]
"""Name, number, type."""

SCALARS: Final[Mapping[str, int]] = {"string": 9, "bool": 8, "int32": 5, "int64": 3, "uint32": 13, "uint64": 4}
_MESSAGE: Final = 11
_ENUM: Final = 14
_OPTIONAL: Final = 1
_REPEATED: Final = 3


class ProtoFile(msgspec.Struct, frozen=True, kw_only=True):
    """A `.proto` file: `path` is how others import it."""

    package: str
    path: str
    enums: Mapping[str, Mapping[str, int]]
    messages: Mapping[str, tuple[Field, ...]]
    imports: "tuple[ProtoFile, ...]" = ()

    def owner(self, kind: str) -> "ProtoFile":
        """The file that declares a message or an enum."""
        for file in (self, *self.imports):
            if kind in file.messages or kind in file.enums:
                return file
        raise KeyError(kind)


def file_descriptor(file: ProtoFile) -> "descriptor_pb2.FileDescriptorProto":
    """The file descriptor of all messages."""
    # Imported on first use, as in `message_class`: it takes a tenth of a second that a server's start does not need.
    from google.protobuf import descriptor_pb2, timestamp_pb2  # noqa: PLC0415  # protobuf loads with the first transaction

    made = descriptor_pb2.FileDescriptorProto(name=file.path, package=file.package, syntax="proto3")
    made.dependency.extend([timestamp_pb2.DESCRIPTOR.name, *(one.path for one in file.imports)])
    for name, values in file.enums.items():
        enum = made.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in file.messages.items():
        message = made.message_type.add(name=name)
        for field in fields:
            _add_field(file, message, field)
        # An optional scalar is a oneof of its own, and those come after the real ones.
        for optional in (each for each in message.field if each.proto3_optional):
            optional.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{optional.name}")
    return made


def message_class(file: ProtoFile, name: str) -> Any:
    """The class of a message of this file; protobuf itself keeps what was made."""
    from google.protobuf import descriptor_pool, message_factory  # noqa: PLC0415  # protobuf loads with the first message

    pool: Any = descriptor_pool
    known = pool.Default()
    try:
        found = known.FindMessageTypeByName(f"{file.package}.{name}")
    except KeyError:
        _add_file(known, file)
        found = known.FindMessageTypeByName(f"{file.package}.{name}")
    return message_factory.GetMessageClass(found)


def _add_file(known: Any, file: ProtoFile) -> None:
    for imported in file.imports:
        try:
            known.FindFileByName(imported.path)
        except KeyError:
            _add_file(known, imported)
    known.Add(file_descriptor(file))


def _add_field(file: ProtoFile, message: "descriptor_pb2.DescriptorProto", field: Field) -> None:
    name, number, spelled = field
    kind, _, oneof = spelled.rstrip("?*").partition("|")
    made: Any = message.field.add(name=name, number=number)
    made.label = _REPEATED if spelled.endswith("*") or kind == TEXTS else _OPTIONAL
    if kind == TEXTS:
        made.type = _MESSAGE
        made.type_name = f".{file.package}.{message.name}.{_add_entry(message, name)}"
    elif kind in SCALARS:
        made.type = SCALARS[kind]
    elif kind == TIMESTAMP:
        made.type, made.type_name = _MESSAGE, ".google.protobuf.Timestamp"
    else:
        owner = file.owner(kind)
        made.type = _ENUM if kind in owner.enums else _MESSAGE
        made.type_name = f".{owner.package}.{kind}"
    if spelled.endswith("?"):
        made.proto3_optional = True
    if oneof:
        if not any(each.name == oneof for each in message.oneof_decl):
            message.oneof_decl.add(name=oneof)
        made.oneof_index = [each.name for each in message.oneof_decl].index(oneof)


def _add_entry(message: "descriptor_pb2.DescriptorProto", name: str) -> str:
    """The nested message that a map is a list of."""
    called = "".join(part.capitalize() for part in name.split("_")) + "Entry"
    entry: Any = message.nested_type.add(name=called)
    for number, part in enumerate(("key", "value"), 1):
        made = entry.field.add(name=part, number=number)
        made.label, made.type = _OPTIONAL, SCALARS["string"]
    entry.options.map_entry = True
    return called


def proto_text(file: ProtoFile) -> str:
    """The `.proto` file."""
    imports = sorted(["google/protobuf/timestamp.proto", *(one.path for one in file.imports)])
    lines = ['syntax = "proto3";', "", f"package {file.package};", "", *(f'import "{path}";' for path in imports), ""]
    for name, values in file.enums.items():
        lines += [f"enum {name} {{", *(f"  {value} = {number};" for value, number in values.items()), "}", ""]
    for name, fields in file.messages.items():
        lines += [f"message {name} {{", *_proto_fields(file, fields), "}", ""]
    return "\n".join(lines)


def _proto_fields(file: ProtoFile, fields: tuple[Field, ...]) -> list[str]:
    lines: list[str] = []
    oneof = ""
    for name, number, spelled in fields:
        kind, _, group = spelled.rstrip("?*").partition("|")
        label = "repeated " if spelled.endswith("*") else "optional " if spelled.endswith("?") else ""
        if group and not oneof:
            lines.append(f"  oneof {group} {{")
        if oneof and not group:
            lines.append("  }")
        oneof = group
        lines.append(f"{'    ' if group else '  '}{label}{_spelled(file, kind)} {name} = {number};")
    return [*lines, "  }"] if oneof else lines


def _spelled(file: ProtoFile, kind: str) -> str:
    if kind == TIMESTAMP:
        return "google.protobuf.Timestamp"
    if kind == TEXTS:
        return "map<string, string>"
    if kind in SCALARS:
        return kind
    owner = file.owner(kind)
    return kind if owner is file else f"{owner.package}.{kind}"
