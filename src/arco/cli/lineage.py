"""`arco lineage`: the tables an object is made from and those made from it, as two trees."""

from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from arco.cli.advice import looking_for
from arco.cli.failures import OK, Failure, UsageProblem
from arco.cli.names import KINDS, dotted, parse_name
from arco.cli.render import cell_text, counted
from arco.cli.session import client_of
from arco.cli.terminal import Terminal
from arco.clients.api import ApiClient, ApiProblem, path_of
from arco.clients.catalog import Item, fetch

_SIDES: Final = (("upstream", "target_id", "source_id"), ("downstream", "source_id", "target_id"))
"""Each list of edges: the end nearer to the object asked for, and the farther one."""

_ENDS: Final = ("source_id", "target_id")
_NAMES_SQL: Final = (
    "SELECT t.id AS id, c.name AS c, n.name AS n, t.name AS t FROM system.catalog.tables t "
    "JOIN system.catalog.namespaces n ON n.id = t.namespace_id "
    "JOIN system.catalog.catalogs c ON c.id = n.catalog_id WHERE t.id IN ({ids})"
)
ALL_HOPS: Final = "all"
_UUID_CHARS: Final = 36
_IDS_PER_QUESTION: Final = 200
"""Keeps the SQL text below the server's 10,000 bytes."""


def lineage(args: Namespace, terminal: Terminal) -> int:
    """Show what an object is made from and what is made from it."""
    with client_of(args) as client, terminal.step("following the lineage"):
        nodes, label, missing = _resolved(client, args.name)
        query = {"depth": str(args.depth), "direction": args.direction}
        try:
            found = _together([client.get(f"/lineage{path_of(node)}", query).json() for node in nodes], nodes)
        except ApiProblem as problem:
            raise missing or problem from problem
        if missing is not None and not _ids(found):
            raise missing
        object_id = nodes[0]
        names = {object_id: label} | _names(client, _ids(found) - {object_id})
    if terminal.as_json:
        terminal.document({"name": label, **found, "names": names})
        return OK
    terminal.say(terminal.styled(cell_text(label), "bold"))
    for side, near, far in _SIDES:
        if args.direction in (side, "both"):
            _side(terminal, side, tree_lines(found.get(side, []), object_id, (near, far), names))
    # Each run adds its own edges; a person asks which object is made of which.
    edges = len({(edge["source_id"], edge["target_id"]) for side, _, _ in _SIDES for edge in found.get(side, [])})
    reach = "at any distance" if args.depth == ALL_HOPS else f"within {counted(int(args.depth), 'hop')}"
    more = "; the server left out the rest: ask for one direction or fewer hops" if found.get("truncated") else ""
    terminal.say(terminal.styled(counted(edges, f"edge {reach}{more}"), "dim"))
    return OK


def tree_lines(edges: Iterable[Item], root: str, ends: tuple[str, str], names: Mapping[str, str]) -> list[str]:
    """The tree below `root` as lines; an object met before is named but not unfolded again."""
    near, far = ends
    children: dict[str, dict[str, str]] = {}
    for edge in edges:
        children.setdefault(edge[near], {}).setdefault(edge[far], edge.get("edge_type", ""))
    lines: list[str] = []
    seen = {root}
    stack = _frames(children, root, "", names)
    while stack:
        node, edge_type, prefix, is_last = stack.pop()
        again = node in seen
        mark = " (see above)" if again and node in children else ""
        label = cell_text(names.get(node, node))
        lines.append(f"{prefix}{'└─' if is_last else '├─'} {label}  [{cell_text(edge_type)}]{mark}")
        if not again:
            seen.add(node)
            stack += _frames(children, node, prefix + ("   " if is_last else "│  "), names)
    return lines


def _frames(
    children: Mapping[str, Mapping[str, str]], node: str, prefix: str, names: Mapping[str, str]
) -> list[tuple[str, str, str, bool]]:
    below = sorted(children.get(node, {}).items(), key=lambda item: names.get(item[0], item[0]), reverse=True)
    return [(child, edge_type, prefix, index == 0) for index, (child, edge_type) in enumerate(below)]


def _side(terminal: Terminal, side: str, lines: list[str]) -> None:
    terminal.say(f"{side}:")
    for line in lines or ["(nothing)"]:
        terminal.say(f"  {line}")


def _resolved(client: ApiClient, text: str) -> tuple[list[str], str, Failure | None]:
    """The nodes that a name stands for, how it is shown, and what is wrong when the graph knows none of them either.

    A table that an asset made is itself and its asset: what runs read from each other is told of assets.
    """
    if text.count(".") == len(KINDS) and '"' not in text:
        table, _, column = text.rpartition(".")
        with suppress(Failure):
            return [f"{node}.{column}" for node in _table(client, parse_name(table))[::-1]], text, None
    try:
        parts = parse_name(text)
    except UsageProblem:  # ids of the graph are free text
        parts = ()
    if len(parts) == len(KINDS):
        try:
            return _table(client, parts), dotted(parts), None
        except Failure as failure:
            return [text], text, failure  # keys of assets, and columns of assets, look like names of tables
    return [text], _names(client, {text}).get(text, text), None


def _table(client: ApiClient, parts: tuple[str, ...]) -> list[str]:
    with looking_for(parts):
        found = fetch(client, parts)
    asset = (found.get("properties") or {}).get("asset")
    return [found["id"], *([asset] if asset else [])]


def _together(answers: Sequence[Mapping[str, Any]], nodes: Sequence[str]) -> dict[str, Any]:
    """What was found for each node of one object, as found for the first."""
    same = dict.fromkeys(nodes, nodes[0])
    found: dict[str, Any] = {**answers[0]}
    for side, _, _ in _SIDES:
        edges = {edge["id"]: edge for answer in answers for edge in answer.get(side, [])}
        ends = [{end: same.get(edge[end], edge[end]) for end in _ENDS} for edge in edges.values()]
        found[side] = [edge | new for edge, new in zip(edges.values(), ends, strict=True)]
    if any(answer.get("truncated") for answer in answers):
        found["truncated"] = True
    return found


def _ids(found: Mapping[str, Any]) -> set[str]:
    edges = [edge for side, _, _ in _SIDES for edge in found.get(side, [])]
    return {edge[end] for edge in edges for end in _ENDS}


def _names(client: ApiClient, ids: set[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    ordered = sorted(text for text in ids if len(text) == _UUID_CHARS and "'" not in text)
    for start in range(0, len(ordered), _IDS_PER_QUESTION):
        listed = ",".join(f"'{text}'" for text in ordered[start : start + _IDS_PER_QUESTION])
        try:
            rows = client.ask("/query", {"sql": _NAMES_SQL.format(ids=listed)}, query={"format": "json"}).json()
        except ApiProblem:  # ids say less than names, but they say it
            return names
        names.update({row["id"]: dotted((row["c"], row["n"], row["t"])) for row in rows})
    return names
