"""What to do next when the server says that a named object is missing, or there already."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from arco.cli.failures import failure_of
from arco.cli.names import KINDS, dotted
from arco.clients.api import ApiProblem

_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_SAID: Final = ("catalog", "schema", "table")
"""First word of the api's answer for what is missing, outermost first (catalog.md 4.3)."""


@contextmanager
def looking_for(parts: tuple[str, ...]) -> Iterator[None]:
    """An object that is missing: the advice lists where it would be."""
    try:
        yield
    except ApiProblem as problem:
        if problem.status != _NOT_FOUND:
            raise
        above = parts[: _missing(problem, len(parts)) - 1]
        _advise(problem, f"see what there is: arco catalog ls {dotted(above)}".rstrip())


@contextmanager
def making(parts: tuple[str, ...], otherwise: str = "") -> Iterator[None]:
    """An object to be made: the advice names the parent that is missing, or the object that has the name.

    `otherwise` is the flag that would have helped; without one (a rename) only a taken name is spoken of.
    """
    try:
        yield
    except ApiProblem as problem:
        hint = f", or add {otherwise}" if otherwise else ""
        if problem.status == _CONFLICT:
            known = hint if otherwise == "--if-not-exists" else ""
            _advise(problem, f"see what is there: arco catalog show {dotted(parts)}{known}")
        if problem.status == _NOT_FOUND and otherwise and len(parts) > 1:
            missing = parts[: min(_missing(problem, len(parts)), len(parts) - 1)]
            parents = hint if otherwise == "--create-parents" else ""
            _advise(problem, f"create it first: arco catalog create {dotted(missing)}{parents}")
        raise


def _missing(problem: ApiProblem, depth: int) -> int:
    """How many parts the name of the missing object has."""
    first = problem.message.partition(" ")[0].casefold()
    found = _SAID.index(first) + 1 if first in _SAID else depth
    return min(found, depth, len(KINDS))


def _advise(problem: ApiProblem, advice: str) -> None:
    failure = failure_of(problem)
    if failure is not None:
        failure.advice = advice
        raise failure from problem
