"""What each parameter of a function is given, read from its name, its annotation and the decorator's arguments.

In this order: what the decorator says (`inputs`, `resources`), `AssetIn` and `Resource` in annotations, `context`,
`partition`, a dimension of the partitioning, a parameter with a default (left alone), at last an asset of that name.
Relies on nothing but the function object; nothing is called.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from arco.sdk.errors import DefinitionError, meant
from arco.sdk.forms import CHOICES, Form, form_of
from arco.sdk.partitions import Dimension
from arco.sdk.settings import AssetIn, Resource

Role = Literal["input", "context", "partition", "dimension", "resource"]


class Parameter(msgspec.Struct, frozen=True):
    """One parameter: `role` says what it is given; `source` is the asset's key, the dimension's or resource's name."""

    name: str
    role: Role
    source: str = ""
    form: Form = "arrow"
    reads: AssetIn | None = None


class Surroundings(msgspec.Struct, frozen=True):
    """What the decorator says about parameters."""

    namespace: str
    inputs: Mapping[str, AssetIn] = {}
    resources: Mapping[str, str] = {}
    deps: Sequence[str] = ()
    dimensions: Sequence[Dimension] = ()


def annotated_parameters(function: Callable[..., Any]) -> list[tuple[inspect.Parameter, Any, tuple[Any, ...]]]:
    """Each parameter with its annotation and what `Annotated` adds to it. Raises `DefinitionError`."""
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise DefinitionError(f"{parameter}: everything a function is given has a name; list its parameters")
        annotation = _evaluated(function, parameter.annotation)
        extras: tuple[Any, ...] = ()
        if get_origin(annotation) is Annotated:
            annotation, *rest = get_args(annotation)
            extras = tuple(rest)
        found.append((parameter, annotation, extras))
    return found


def parameters_of(function: Callable[..., Any], around: Surroundings) -> tuple[Parameter, ...]:
    """What each parameter of an asset's function is given. Raises `DefinitionError`."""
    found: list[Parameter] = []
    names = set()
    for parameter, annotation, extras in annotated_parameters(function):
        names.add(parameter.name)
        if (one := _resolved(parameter, annotation, extras, around)) is not None:
            found.append(one)
    for what, given in (("inputs", around.inputs), ("resources", around.resources)):
        if surplus := sorted(set(given) - names):
            raise DefinitionError(f"{what}: the function has no parameter {surplus[0]}{meant(surplus[0], [*names])}")
    return tuple(found)


def special_parameter(parameter: inspect.Parameter, annotation: Any, extras: Sequence[Any]) -> Parameter | None:
    """The parameter when it is `context`, `partition` or a resource; None for any other."""
    name = parameter.name
    for extra in extras:
        if isinstance(extra, Resource):
            return Parameter(name, "resource", extra.name)
    if name == "context" or _named(annotation, "Context"):
        return Parameter(name, "context")
    if name == "partition" or _named(annotation, "Partition"):
        return Parameter(name, "partition")
    return None


def checked_form(name: str, annotation: Any) -> Form:
    """The form an annotation asks for. Raises `DefinitionError` when it is none we can hand over."""
    form = form_of(annotation)
    if form is None:
        shown = annotation if isinstance(annotation, str) else getattr(annotation, "__qualname__", repr(annotation))
        raise DefinitionError(f"parameter {name}: a table is not handed over as {shown}; use {CHOICES}")
    return form


def _resolved(
    parameter: inspect.Parameter, annotation: Any, extras: Sequence[Any], around: Surroundings
) -> Parameter | None:
    name = parameter.name
    if name in around.resources:
        return Parameter(name, "resource", around.resources[name])
    reads = around.inputs.get(name) or next((extra for extra in extras if isinstance(extra, AssetIn)), None)
    if reads is None and (special := special_parameter(parameter, annotation, extras)) is not None:
        return special
    if reads is None and any(one.name == name for one in around.dimensions):
        return Parameter(name, "dimension", name)
    if reads is None and parameter.default is not parameter.empty:
        return None
    reads = reads or AssetIn()
    key = reads.key or next((dep for dep in around.deps if dep.rpartition(".")[2] == name), None)
    return Parameter(name, "input", key or f"{around.namespace}.{name}", checked_form(name, annotation), reads)


def _evaluated(function: Callable[..., Any], annotation: Any) -> Any:
    """The annotation as an object where that is possible; its text where a name is for type checkers only."""
    if annotation is inspect.Parameter.empty:
        return None
    if isinstance(annotation, str):
        written = inspect.unwrap(function)
        names = dict(getattr(written, "__globals__", {}))
        with suppress(ValueError, TypeError):
            names.update(inspect.getclosurevars(written).nonlocals)
        try:
            return eval(annotation, names)  # what Python itself would have done without the quotes
        except Exception:  # noqa: BLE001  # whatever is wrong with a hint, its text is still there
            return _unwrapped(annotation)
    return annotation


def _unwrapped(text: str) -> str:
    if text.startswith(("Annotated[", "typing.Annotated[")):
        raise DefinitionError(
            f"{text} names something that is only imported for type checkers: import it, or say inputs={{...}}"
        )
    return text


def _named(annotation: Any, name: str) -> bool:
    if isinstance(annotation, str):
        return annotation.rpartition(".")[2] == name
    return getattr(annotation, "__name__", "") == name and getattr(annotation, "__module__", "").startswith("arco.")
