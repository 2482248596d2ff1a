"""Resources: what functions are given by name - connections, clients, settings - made once for each task."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, overload

from arco.sdk.context import TaskLog
from arco.sdk.errors import ConfigurationFailed, DefinitionError, meant
from arco.sdk.traces import message_of


class ResourceDefinition:
    """A function that makes a resource; one that yields also cleans up after the task."""

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        self.function = function
        self.name = name
        self.file = inspect.getsourcefile(function) or "<unknown>"
        self.line = function.__code__.co_firstlineno
        if needed := [one for one in inspect.signature(function).parameters.values() if one.default is one.empty]:
            raise DefinitionError(
                f"{self.file}:{self.line}: resource {name}: it is called without arguments, and {needed[0].name} has "
                "no default; read it from os.environ inside"
            )

    def __call__(self) -> Any:
        return self.function()


@overload
def resource(function: Callable[[], Any], /) -> ResourceDefinition:
    """`@resource` alone."""


@overload
def resource(*, name: str) -> Callable[[Callable[[], Any]], ResourceDefinition]:
    """`@resource(name=...)`."""


def resource(function: Callable[[], Any] | None = None, /, *, name: str | None = None) -> Any:
    """Make a function the maker of a resource, named after it or by `name`. Raises `DefinitionError`."""
    if function is None:
        return lambda found: ResourceDefinition(found, name or found.__name__)
    return ResourceDefinition(function, name or str(getattr(function, "__name__", "resource")))


class Resources:
    """The resources of one task: made when first asked for, closed together at its end in reverse order.

    One that cannot be closed is told in the log: what the task has published is published all the same.
    """

    def __init__(self, defined: Mapping[str, ResourceDefinition], given: Mapping[str, Any], log: TaskLog) -> None:
        self._defined = defined
        self._given = dict(given)
        self._log = log
        self._open: list[tuple[str, AbstractContextManager[Any]]] = []

    def __enter__(self) -> "Resources":
        return self

    def __exit__(self, *failure: Any) -> None:
        while self._open:
            name, opened = self._open.pop()
            try:
                # As if nothing had happened: neither a failed task nor another resource's trouble is thrown into it.
                opened.__exit__(None, None, None)
            except Exception as error:  # noqa: BLE001  # user code may raise anything
                self._log.warning(f"resource {name} could not be closed", reason=message_of(error))

    def value(self, name: str) -> Any:
        """The resource of this name. Raises `ConfigurationFailed` when there is none."""
        if name not in self._given:
            if name not in self._defined:
                known = sorted({*self._given, *self._defined})
                raise ConfigurationFailed(
                    f"no resource is called {name}{meant(name, known)}; define it with @resource, or hand it over"
                )
            self._given[name] = self._made(self._defined[name])
        return self._given[name]

    def _made(self, definition: ResourceDefinition) -> Any:
        if inspect.isgeneratorfunction(definition.function):
            opened = contextmanager(definition.function)()
            value = opened.__enter__()
            self._open.append((definition.name, opened))
            return value
        return definition.function()
