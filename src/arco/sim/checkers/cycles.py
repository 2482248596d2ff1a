"""Strict serialisability of transactions over several lists: dependency edges, then a search for cycles.

Each list's version order is its longest read. From it follow who wrote before whom (ww), who read whose write (wr), who
read what another then overwrote (rw), and who was asked after another had returned (rt). A cycle has no explanation in
any order. Source: reliability.md 5.4, 3; Kingsbury & Alvaro 2020, "Elle: inferring isolation anomalies".
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from arco.sim.checkers.components import components


class Transaction(msgspec.Struct, frozen=True):
    """One transaction: the token it appended to each list, and each list as it read it before its own append.

    `committed` is None when its client does not know.
    """

    name: str
    invoked: float
    returned: float
    committed: bool | None
    appends: Mapping[str, str] = {}
    reads: Mapping[str, tuple[str, ...]] = {}


class _Edge(msgspec.Struct, frozen=True, order=True):
    source: int
    target: int
    kind: str


def check_transactions(transactions: Sequence[Transaction], final: Mapping[str, Sequence[str]]) -> list[str]:
    """Everything that is wrong with the history, given every list as it was read when all was quiet."""
    order = {key: tuple(tokens) for key, tokens in final.items()}
    writers = {(key, token): i for i, one in enumerate(transactions) for key, token in one.appends.items()}
    faults = [*_version_faults(transactions, order, writers), *_atomicity_faults(transactions, order)]
    if faults:
        return faults
    seen = [i for i, one in enumerate(transactions) if _took_effect(one, order)]
    edges = {*_data_edges(transactions, order, writers, seen), *_real_time_edges(transactions, seen)}
    return _cycles(transactions, sorted(edges))


def _took_effect(one: Transaction, order: Mapping[str, tuple[str, ...]]) -> bool:
    if one.committed is None:
        return any(token in order.get(key, ()) for key, token in one.appends.items())
    return one.committed


def _version_faults(
    transactions: Sequence[Transaction],
    order: Mapping[str, tuple[str, ...]],
    writers: Mapping[tuple[str, str], int],
) -> list[str]:
    found = [
        f"{key} holds a token twice: {list(tokens)}" for key, tokens in order.items() if len(set(tokens)) < len(tokens)
    ]
    for key, tokens in order.items():
        found += [f"{key} holds {token}, which nobody wrote" for token in tokens if (key, token) not in writers]
    for one in transactions:
        for key, read in one.reads.items():
            if one.committed and read != order.get(key, ())[: len(read)]:
                found.append(f"{one.name} read {list(read)} of {key}, no prefix of {list(order.get(key, ()))}")
    return found


def _atomicity_faults(transactions: Sequence[Transaction], order: Mapping[str, tuple[str, ...]]) -> list[str]:
    found: list[str] = []
    for one in transactions:
        there = {key for key, token in one.appends.items() if token in order.get(key, ())}
        if one.committed is False and there:
            found.append(f"{one.name} was refused, and its writes are in {sorted(there)}")
        elif one.committed and len(there) < len(one.appends):
            found.append(
                f"{one.name} was acknowledged, and its writes are missing in {sorted(set(one.appends) - there)}"
            )
        elif there and len(there) < len(one.appends):
            found.append(f"{one.name} took effect only in {sorted(there)}")
    return found


def _data_edges(
    transactions: Sequence[Transaction],
    order: Mapping[str, tuple[str, ...]],
    writers: Mapping[tuple[str, str], int],
    seen: Iterable[int],
) -> Iterable[_Edge]:
    for key, tokens in order.items():
        for earlier, later in itertools.pairwise(tokens):
            yield _Edge(writers[key, earlier], writers[key, later], "ww")
    for index in seen:
        for key, read in transactions[index].reads.items():
            tokens = order.get(key, ())
            if read:
                yield _Edge(writers[key, read[-1]], index, "wr")
            if len(read) < len(tokens) and writers[key, tokens[len(read)]] != index:
                yield _Edge(index, writers[key, tokens[len(read)]], "rw")


def _real_time_edges(transactions: Sequence[Transaction], seen: Sequence[int]) -> Iterable[_Edge]:
    """From each transaction to those asked after it had returned; without most of the transitive ones."""
    later = sorted(seen, key=lambda index: transactions[index].invoked)
    for index in seen:
        returned = transactions[index].returned
        bound = float("inf")
        for other in later:
            if transactions[other].invoked <= returned:
                continue
            if transactions[other].invoked > bound:
                break
            bound = min(bound, transactions[other].returned)
            yield _Edge(index, other, "rt")


def _cycles(transactions: Sequence[Transaction], edges: Sequence[_Edge]) -> list[str]:
    following: dict[int, list[int]] = {}
    for edge in edges:
        following.setdefault(edge.source, []).append(edge.target)
    found: list[str] = []
    for component in components(following, range(len(transactions))):
        inside = set(component)
        links = [
            edge for edge in edges if edge.source in inside and edge.target in inside and edge.source != edge.target
        ]
        if len(component) > 1:
            text = ", ".join(
                f"{transactions[edge.source].name} -{edge.kind}-> {transactions[edge.target].name}" for edge in links
            )
            found.append(f"no order explains: {text}")
    return found
