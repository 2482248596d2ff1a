"""A run as a graph: its tasks by depth, what leads to what, and the path that its length came from. (Ours.)

The critical path is the chain of tasks that took longest together, each counted from when it was ready to its end,
with queueing and every try; what is under way counts until now. Pure.
"""

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter

import msgspec

from arco.domains.orchestration.agenda import TERMINAL
from arco.domains.orchestration.queries.runs import RunDetail
from arco.domains.orchestration.rows import DependencyRow, TaskRow


class Node(msgspec.Struct, frozen=True):
    """A task, how many edges the longest way to it has, and how long it took or takes."""

    task: TaskRow
    level: int
    elapsed_ms: int


class RunGraph(msgspec.Struct, frozen=True):
    """A run's tasks, nearest to the beginning in front, its edges, and its critical path with how long that took."""

    nodes: list[Node]
    edges: list[DependencyRow]
    critical: tuple[str, ...]
    critical_ms: int


def run_graph(found: RunDetail, now_ms: int) -> RunGraph:
    """The graph of a run as of a time."""
    tasks = {task.task_key: task for task in found.tasks}
    coming: dict[str, list[str]] = {key: [] for key in tasks}
    for edge in found.edges:
        if edge.downstream_task_key in tasks and edge.upstream_task_key in tasks:
            coming[edge.downstream_task_key].append(edge.upstream_task_key)
    order = list(TopologicalSorter(coming).static_order())
    elapsed = {key: _elapsed_ms(task, now_ms) for key, task in tasks.items()}
    levels: dict[str, int] = {}
    for key in order:
        levels[key] = max((levels[before] + 1 for before in coming[key]), default=0)
    critical, critical_ms = _longest(order, coming, elapsed)
    nodes = [Node(tasks[key], levels[key], elapsed[key]) for key in sorted(tasks, key=lambda key: (levels[key], key))]
    return RunGraph(nodes, found.edges, critical, critical_ms)


def _elapsed_ms(task: TaskRow, now_ms: int) -> int:
    since = task.ready_at
    if since is None or (task.state in TERMINAL and task.completed_at is None):
        return 0
    return max(0, (now_ms if task.completed_at is None else task.completed_at) - since)


def _longest(
    order: Sequence[str], coming: Mapping[str, Sequence[str]], elapsed: Mapping[str, int]
) -> tuple[tuple[str, ...], int]:
    """The path that took longest; of equal ones the one with more tasks, then the first by name."""
    length: dict[str, tuple[int, int]] = {}
    before: dict[str, str | None] = {}
    for key in order:
        best = min(coming[key], key=lambda one: (-length[one][0], -length[one][1], one), default=None)
        ms, count = (0, 0) if best is None else length[best]
        length[key], before[key] = (ms + elapsed[key], count + 1), best
    here = min(length, key=lambda one: (-length[one][0], -length[one][1], one), default=None)
    if here is None:
        return (), 0
    total, path = length[here][0], list[str]()
    while here is not None:
        path.append(here)
        here = before[here]
    return tuple(reversed(path)), total
