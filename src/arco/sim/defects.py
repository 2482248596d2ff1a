"""Seeded defects: what the simulation is worth is what it catches (reliability.md 6).

A defect is data: small edits of production functions, each an `old` text that occurs exactly once in the function and
the `new` one, the function's own indentation taken away. It is put in by compiling the edited source and swapping the
function's code, so that every reference to the function is defective for the length of a block. An edit that no longer
fits raises `StaleDefect`: a defect that cannot be put in proves nothing.
"""

import ast
import contextlib
import importlib
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

import msgspec

from arco.sim.root_plans import root_plan_of
from arco.sim.roots import run_roots
from arco.sim.schedule import run_schedule
from arco.sim.swarm import PROFILES

SCHEDULES: Final = "schedules"
"""`killed_by` of a defect that random schedules find."""

ROOTS: Final = "roots"
"""`killed_by` of a defect that random schedules of root transactions find."""


class StaleDefect(Exception):
    """An edit that does not fit the code any more."""


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In the function `module:Class.name`, `old` becomes `new`."""

    target: str
    old: str
    new: str


class Defect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A known way to be wrong: what it does, and who must notice."""

    name: str
    says: str
    edits: tuple[Edit, ...]
    killed_by: str = SCHEDULES


class _File(msgspec.Struct, forbid_unknown_fields=True):
    defect: tuple[Defect, ...]


class Killed(msgspec.Struct, frozen=True):
    """The first schedule that notices a defect, and what it says."""

    seed: int
    violation: str


def defects_of(path: Path) -> tuple[Defect, ...]:
    """The defects of a file. Raises `msgspec.MsgspecError`."""
    return msgspec.toml.decode(path.read_bytes(), type=_File).defect


@contextlib.contextmanager
def applied(defect: Defect) -> Iterator[None]:
    """Production code with the defect, for the length of a block. Raises `StaleDefect`."""
    edits: dict[str, list[Edit]] = {}
    for edit in defect.edits:
        edits.setdefault(edit.target, []).append(edit)
    changed = [(function := _function(target), _edited(function, mine, defect)) for target, mine in edits.items()]
    before = [(function, function.__code__) for function, _ in changed]
    for function, code in changed:
        function.__code__ = code
    try:
        yield
    finally:
        for function, code in before:
            function.__code__ = code


def first_kill(defect: Defect, seeds: Sequence[int]) -> Killed | None:
    """The first of these schedules that notices the defect."""
    with applied(defect):
        for seed in seeds:
            if defect.killed_by == ROOTS:
                verdict = run_roots(root_plan_of(seed))
            else:
                verdict = run_schedule(seed, PROFILES[seed % len(PROFILES)])
            if not verdict.fine:
                return Killed(seed, verdict.violations[0])
    return None


def _function(target: str) -> FunctionType:
    module, _, name = target.partition(":")
    found: Any = importlib.import_module(module)
    owner: Any = None
    for part in name.split("."):
        owner, found = found, inspect.getattr_static(found, part, None)
        if found is None:
            raise StaleDefect(f"{target} does not exist")
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    if isinstance(found, property):
        found = found.fget
    found = inspect.unwrap(found)
    if not isinstance(found, FunctionType):
        raise StaleDefect(f"{target} is no function of {owner}")
    return found


def _edited(function: FunctionType, edits: Sequence[Edit], defect: Defect) -> CodeType:
    source = textwrap.dedent(inspect.getsource(function))
    for edit in edits:
        if (times := source.count(edit.old)) != 1:
            raise StaleDefect(f"{defect.name}: in {edit.target} this occurs {times} times: {edit.old}")
        source = source.replace(edit.old, edit.new)
    tree = ast.parse(source)
    (definition,) = tree.body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    definition.decorator_list = []
    made: dict[str, Any] = {}
    exec(compile(tree, f"<{defect.name}>", "exec"), function.__globals__, made)
    code: CodeType = made[function.__name__].__code__
    if code.co_freevars != function.__code__.co_freevars:
        raise StaleDefect(f"{defect.name}: {edits[0].target} closes over other names now")
    return code
