"""The end of a schedule: histories against the checkers, the whole log against itself, replay against what is there."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

from arco.sim.bucket import SimBucket
from arco.sim.checkers.appends import NEVER, Answer, Append, Read, check_appends
from arco.sim.checkers.registers import UNANSWERED, Operation, Verdict, check_linearizable
from arco.sim.history import Asked
from arco.sim.monitors import ChainMonitor, Violations
from arco.sim.trace import Entry

OPERATIONS_MAX: Final = 20
UNKNOWN_MAX: Final = 6
"""More of either in one scope's names and the search may explode (reliability.md 5.4)."""

_TOKENS: Final = ("append", "both", "other_body")
_NOTHING_HAPPENED: Final = ("expired", "stale_base", "idempotency_mismatch")
_NAMES: Final = ("make", "move", "drop")


def judge_lists(asked: Sequence[Asked], final: dict[str, tuple[str, ...]], violations: Violations) -> None:
    """W1: every list has one order that explains every append and every read."""
    for name, tokens in sorted(final.items()):
        appends = [
            Append(one.token, one.invoked_s, NEVER if one.returned_s is None else one.returned_s, _answer(one))
            for one in asked
            if one.kind in _TOKENS and name in (one.name, one.argument if one.kind == "both" else one.name)
        ]
        reads = [
            Read(one.result[0], one.invoked_s, one.returned_s or 0.0)
            for one in asked
            if one.kind == "read" and one.name == name
        ]
        for sentence in check_appends(appends, reads, tokens):
            violations.add("P2", f"list {name}: {sentence}")


def _answer(asked: Asked) -> Answer:
    if asked.returned_s is None:
        return Answer.UNKNOWN
    return Answer.DONE if asked.result == "accepted" else Answer.REFUSED


def judge_names(asked: Sequence[Asked], violations: Violations) -> bool:
    """W2: one order explains every make, move, drop and read of all names. False when that stays undecided."""
    operations = [
        _operation(one) for one in asked if one.kind in (*_NAMES, "read") and one.result not in _NOTHING_HAPPENED
    ]
    writes = sum(one.call[0] != "read" for one in operations)  # type: ignore[index]  # a call is a tuple here
    unknown = sum(one.result is UNANSWERED for one in operations)
    if not writes:
        return True
    if writes > OPERATIONS_MAX or unknown > UNKNOWN_MAX:
        return False
    verdict = check_linearizable(operations, frozenset(), _names_model)
    if verdict is Verdict.NOT_LINEARIZABLE:
        violations.add("P2", f"no order explains the names: {[(one.call, one.result) for one in operations]}")
    return verdict is not Verdict.UNDECIDED


def _operation(one: Asked) -> Operation:
    if one.kind == "read":
        return Operation(("read",), one.result[1], one.invoked_s, one.returned_s or 0.0)
    call = (one.kind, one.name, one.argument)
    if one.returned_s is None:
        return Operation(call, UNANSWERED, one.invoked_s)
    return Operation(call, one.result, one.invoked_s, one.returned_s)


def _names_model(state: Any, call: Any) -> tuple[Any, Any]:
    if call[0] == "read":
        return state, state
    kind, name, other = call
    if kind == "make":
        return (state, "already_exists") if name in state else (state | {name}, "accepted")
    if name not in state:
        return state, "not_found"
    if kind == "drop":
        return state - {name}, "accepted"
    if other in state:
        return state, "already_exists"
    return (state - {name}) | {other}, "accepted"


def judge_orphans(bucket: SimBucket, monitor: ChainMonitor, prefix: str, violations: Violations) -> None:
    """R-30: what no manifest names is at most one set of objects for each attempt."""
    named = {path for paths in monitor.reach.values() for path in paths}
    attempts = Counter(
        key[len(prefix) :].rsplit("/", 1)[1].split(".")[0].rsplit("-", 1)[0]
        for key in bucket.objects
        if key.startswith((f"{prefix}commits/", f"{prefix}snapshots/")) and key[len(prefix) :] not in named
    )
    for attempt, count in attempts.items():
        if count > 64:
            violations.add("R-30", f"the attempt {attempt} left {count} orphans")


def judge_reads(entries: Sequence[Entry], readers: Collection[str], violations: Violations) -> None:
    """Who answers reads lists nothing, and reads no ledger but objects it may have written itself (R-15)."""
    appended: set[tuple[str, str]] = set()
    for _, actor, operation, key, _ in entries:
        if actor not in readers:
            continue
        if operation == "list":
            violations.add("R-15", f"{actor} listed {key}")
        elif "/ledger/" in key:
            if operation == "create":
                appended.add((actor, key))
            elif (actor, key) not in appended:
                violations.add("R-15", f"{actor} read {key}, which it never wrote")
