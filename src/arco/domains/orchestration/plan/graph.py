"""The graph of deployed assets, and what a selection of it contains (orchestration.md 9.2). Pure."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from typing import Final

import msgspec

from arco.core.errors import InvalidInput
from arco.domains.orchestration.plan.manifest import Asset, Dependency, Manifest

_LOOKED_THROUGH_MAX: Final = 2_000
"""Assets among which one is sought that was meant: some milliseconds."""

_NAMED_MAX: Final = 5


class Graph:
    """Assets by key, and both directions of their dependencies. Raises `InvalidInput` for a cycle."""

    def __init__(self, manifest: Manifest) -> None:
        self.assets: Mapping[str, Asset] = {asset.key.canonical: asset for asset in manifest.assets}
        self.reads: dict[str, dict[str, Dependency]] = {
            key: {dependency.upstream_key.canonical: dependency for dependency in asset.dependencies}
            for key, asset in self.assets.items()
        }
        self.read_by: dict[str, list[str]] = {key: [] for key in self.assets}
        for key, upstreams in self.reads.items():
            for upstream in upstreams:
                self.read_by[upstream].append(key)
        try:
            TopologicalSorter({key: list(upstreams) for key, upstreams in self.reads.items()}).prepare()
        except CycleError as error:
            raise InvalidInput(f"assets depend on each other in a circle: {' -> '.join(error.args[1])}") from None


UNSUCCEEDED: Final = "unsucceeded"
"""The reason of what a run does because the one before it did not get it done."""


class Reason(msgspec.Struct, frozen=True):
    """Why an asset is part of a selection: `root`, or `upstream` / `downstream` of another one that is."""

    why: str
    of: str = ""


def selected(
    graph: Graph, roots: Sequence[str], *, include_upstream: bool, include_downstream: bool
) -> dict[str, Reason]:
    """The selected assets in the order of their keys, each with the reason. Raises `InvalidInput`."""
    unknown = sorted(set(roots) - graph.assets.keys())
    if unknown:
        raise InvalidInput(f"unknown asset keys: {', '.join(unknown)}{_instead(unknown, graph)}", unknown=unknown)
    if not roots:
        raise InvalidInput("selection is empty: name at least one asset")
    found: dict[str, Reason] = {root: Reason("root") for root in sorted(roots)}
    start = list(found)
    if include_upstream:
        reach(found, start, graph.reads, "upstream")
    if include_downstream:
        # It does not pass through what is selected already, and what is upstream of something downstream is not added:
        # only what the roots change is made again.
        reach(found, start, graph.read_by, "downstream")
    return dict(sorted(found.items()))


def _instead(unknown: Sequence[str], graph: Graph) -> str:
    """The asset that the first unknown one was meant to be, or a few of those there are."""
    known = sorted(graph.assets)
    if len(known) <= _LOOKED_THROUGH_MAX and (near := get_close_matches(unknown[0], known, n=1)):
        return f"; did you mean {near[0]}?"
    more = f" and {len(known) - _NAMED_MAX:,} more" if len(known) > _NAMED_MAX else ""
    return f"; there are {', '.join(known[:_NAMED_MAX])}{more}" if known else ""


def reach(found: dict[str, Reason], start: Sequence[str], edges: Mapping[str, Iterable[str]], why: str) -> None:
    """Add what can be reached, nearest first, each with the asset that led to it."""
    waiting = deque(start)
    while waiting:
        key = waiting.popleft()
        for following in sorted(edges.get(key, ())):
            if following not in found:
                found[following] = Reason(why, key)
                waiting.append(following)
