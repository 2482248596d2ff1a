"""A schedule as people read it: what each actor did to storage, in order, one line each."""

from collections.abc import Sequence

from arco.sim.schedule import Verdict
from arco.sim.trace import Entry

_KEY_CHARS = 58


def timeline(verdict: Verdict, *, scope: str = "", most: int = 400) -> str:
    """The last `most` operations, and what was found."""
    shown = [entry for entry in verdict.trace if not scope or scope in entry[3] or "/" not in entry[3]][-most:]
    actors = sorted({entry[1] for entry in shown})
    lines = [_line(entry, actors) for entry in shown]
    head = f"seed {verdict.seed} profile {verdict.profile}: {len(verdict.faults)} faults, {verdict.steps} steps"
    return "\n".join([head, *lines, "", *(f"! {sentence}" for sentence in verdict.violations)])


def _line(entry: Entry, actors: Sequence[str]) -> str:
    seconds, actor, operation, key, result = entry
    indent = "  " * actors.index(actor)
    return f"{seconds:10.3f} {indent}{actor}: {operation} {_short(key)} -> {result}"


def _short(key: str) -> str:
    """A key without its scope and its leading zeros."""
    tenant, _, rest = key.partition("/workspace=")
    name = rest.partition("/")[2] if rest else key
    name = name.replace("0" * 16, "")
    return f"{tenant.removeprefix('tenant=')[:1]}:{name}"[:_KEY_CHARS] if rest else name
