"""No endpoint accepts a field and ignores it: every field of every body is read by some code of ours.

Fields that no body has are ignored, as both contracts ask (catalog.md 4.1, orchestration.md 6.1), and refused by what
only our own roles call.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest

from arco.edge.endpoint import Endpoint
from arco.routes.internal.controllers import DISPATCHER_ENDPOINTS, SWEEPER_ENDPOINTS
from arco.routes.internal.flow import ENDPOINTS as FLOW_ENDPOINTS
from arco.routes.public.everything import API_ENDPOINTS

SOURCE: Final = Path(__file__).resolve().parent.parent.parent / "src" / "arco"

_CLOCK: Final = "a worker's clock decides nothing (orchestration.md 7.3): what counts is when it was heard"
_RESERVED: Final = "reserved by the contract"
_KEPT: Final = "kept with the manifest as it was sent, for whoever reads it; it says nothing about a plan"
_HERE: Final = "the walk runs where the fold is (docs/compatibility.md)"

WITHOUT_EFFECT: Final = {
    ("StartedRequest", "traceparent"): _RESERVED,
    ("HeartbeatRequest", "traceparent"): _RESERVED,
    ("CompletedRequest", "traceparent"): _RESERVED,
    ("StartedRequest", "started_at"): _CLOCK,
    ("HeartbeatRequest", "heartbeat_at"): _CLOCK,
    ("CompletedRequest", "completed_at"): _CLOCK,
    ("FiredRequest", "fire_at"): "the id of a timer says when it fires",
    ("Asset", "owners"): _KEPT,
    ("Asset", "tags"): _KEPT,
    ("Asset", "checks"): _KEPT,
    ("Asset", "resources"): _KEPT,
    ("Asset", "io"): _KEPT,
    ("Asset", "transform_fingerprint"): _KEPT,
    ("Dependency", "parameter_name"): _KEPT,
    ("Manifest", "metadata"): _KEPT,
    ("AntiEntropyRequest", "compactor_url"): _HERE,
    ("AntiEntropyRequest", "compactor_audience"): _HERE,
    ("AntiEntropyRequest", "compactor_id_token"): _HERE,
    ("AntiEntropyRequest", "run_interval_secs"): _HERE,
}
"""Fields of the contracts that a client may send and that change nothing, each with its reason."""


def endpoints() -> list[Endpoint]:
    """Every endpoint of every role that this is about."""
    return [*API_ENDPOINTS, *DISPATCHER_ENDPOINTS, *SWEEPER_ENDPOINTS, *FLOW_ENDPOINTS]


def structs_of(type_: Any) -> Iterator[type[msgspec.Struct]]:
    """The struct, and those that lie in its fields, however deep."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        yield type_
        for field in msgspec.structs.fields(type_):
            yield from structs_of(field.type)
    for inner in get_args(type_):
        yield from structs_of(inner)


def bodies() -> dict[str, type[msgspec.Struct]]:
    """The structs that bodies and queries are decoded into, by name."""
    found: dict[str, type[msgspec.Struct]] = {}
    for endpoint in endpoints():
        for given in (endpoint.request, endpoint.query):
            for struct in structs_of(given):
                found[struct.__name__] = struct
    return found


@cache
def taken(module: str) -> frozenset[str]:
    """Every name that code which knows a module takes from an object; `arco.edge` knows them all."""
    folder, _, leaf = module.rpartition(".")
    names: set[str] = set()
    for own, text, attributes in modules():
        if (
            own == module
            or own.startswith("arco.edge.")
            or f"from {module} import" in text
            or (f"from {folder} import" in text and leaf in text)
        ):
            names |= attributes
    return frozenset(names)


@cache
def modules() -> list[tuple[str, str, frozenset[str]]]:
    """Name and text of every module, and the attributes it takes."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        own = ".".join(("arco", *path.relative_to(SOURCE).with_suffix("").parts))
        text = path.read_text("utf-8")
        nodes = list(ast.walk(ast.parse(text)))
        names = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
        if own == "arco.edge.pages":  # pages take their parameters by name
            names |= {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
        found.append((own, text, frozenset(names)))
    return found


@pytest.mark.parametrize("name", sorted(bodies()))
def test_every_field_of_a_body_is_read(name: str) -> None:
    struct = bodies()[name]
    unread = {
        field
        for field in struct.__struct_fields__
        if field not in taken(struct.__module__) and (name, field) not in WITHOUT_EFFECT
    }
    assert unread == set()


def test_what_has_no_effect_is_there_to_be_sent() -> None:
    found = bodies()
    for name, field in WITHOUT_EFFECT:
        assert field in found[name].__struct_fields__, (name, field)
        assert field not in taken(found[name].__module__), f"{name}.{field} is read: take it off the list"


def test_what_only_our_own_roles_send_has_no_field_that_is_unknown() -> None:
    for endpoint in FLOW_ENDPOINTS:
        for struct in structs_of(endpoint.request):
            assert struct.__struct_config__.forbid_unknown_fields, struct.__name__
