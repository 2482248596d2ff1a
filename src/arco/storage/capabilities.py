"""Which role writes which prefix: one table, enforced by `RoleStore` and the source of the IAM examples.

A key belongs to the *longest* prefix of the table that it starts with, and only the roles granted on that very prefix
may write it; a key that no prefix covers is written by nobody. Every immutable prefix has create-only grants, so a
second write fails here, at the store's condition and in IAM alike (operations.md 9, architecture.md "Roles").
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, Literal, get_args

import msgspec

Role = Literal["api", "compactor", "flow-compactor", "dispatcher", "sweeper"]


class Verb(Enum):
    """What a role may do to an object; reading is not limited here."""

    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"


class PrefixRule(msgspec.Struct, frozen=True):
    """A scope-relative prefix, what is kept there, and who may do what to it."""

    prefix: str
    holds: str
    grants: Mapping[Role, frozenset[Verb]]


_CREATE: Final = frozenset({Verb.CREATE})
_SWAP: Final = frozenset({Verb.CREATE, Verb.REPLACE})
_DELETE: Final = frozenset({Verb.DELETE})
_COLLECTED: Final = frozenset({Verb.CREATE, Verb.DELETE})
_ALL: Final = frozenset(Verb)

WRITE_RULES: Final[tuple[PrefixRule, ...]] = (
    PrefixRule(
        "ledger/", "units of the compactor's domains", {"api": _CREATE, "sweeper": _CREATE, "compactor": _DELETE}
    ),
    PrefixRule(
        "ledger/orchestration/",
        "units of orchestration",
        {"api": _CREATE, "dispatcher": _CREATE, "sweeper": _CREATE, "flow-compactor": _DELETE},
    ),
    PrefixRule("manifests/", "manifests, pointers and the root manifest", {"compactor": _ALL}),
    PrefixRule("snapshots/", "segments, pages and deltas", {"compactor": _COLLECTED}),
    PrefixRule("commits/", "commit records", {"compactor": _COLLECTED}),
    PrefixRule("quarantine/", "ledger bytes that cannot be read", {"compactor": _COLLECTED}),
    PrefixRule("retention/", "pins", {"compactor": _ALL}),
    PrefixRule("retention/orchestration.json", "pins of orchestration", {"flow-compactor": _ALL}),
    PrefixRule("retention/manifests/orchestration/", "kept manifests of orchestration", {"flow-compactor": _ALL}),
    PrefixRule("state/orchestration/", "what orchestration keeps beside its chain", {"flow-compactor": _ALL}),
    PrefixRule("manifests/orchestration/", "manifests of orchestration", {"flow-compactor": _COLLECTED}),
    PrefixRule("manifests/orchestration.pointer.json", "the pointer of orchestration", {"flow-compactor": _SWAP}),
    PrefixRule("snapshots/orchestration/", "segments of orchestration", {"flow-compactor": _COLLECTED}),
    PrefixRule("commits/orchestration/", "commit records of orchestration", {"flow-compactor": _COLLECTED}),
    PrefixRule("quarantine/orchestration/", "unreadable units of orchestration", {"flow-compactor": _COLLECTED}),
    PrefixRule("state/anti_entropy/", "cursors of the anti-entropy walk", {"compactor": _SWAP}),
    PrefixRule("state/anti_entropy/orchestration/", "the cursor over orchestration", {"flow-compactor": _SWAP}),
    PrefixRule(
        "locks/",
        "advisory leases, for liveness only; never deleted",
        {"compactor": _SWAP, "flow-compactor": _SWAP, "sweeper": _SWAP},
    ),
    PrefixRule("definitions/", "deployed manifests of assets", {"api": _SWAP}),
    PrefixRule("logs/", "task logs", {"api": _SWAP}),
    PrefixRule("live-logs/", "pieces of the logs of attempts", {"api": _CREATE, "flow-compactor": _DELETE}),
    PrefixRule("transactions/", "decisions and records of transactions", {"api": _SWAP, "sweeper": _SWAP}),
    PrefixRule("delta/", "claims of Delta commits", {"api": _CREATE}),
    PrefixRule("delta/staging/", "staged payloads of Delta commits", {"api": _CREATE, "compactor": _DELETE}),
    PrefixRule("delta/coordinator/", "Delta coordinator state", {"api": _SWAP}),
    PrefixRule("tables/", "commit logs of managed tables", {"api": _CREATE}),
    PrefixRule("warehouse/", "commit logs of tables", {"api": _CREATE}),
    PrefixRule("staging/", "uploads under way", {"api": _CREATE, "sweeper": _DELETE}),
    PrefixRule("blobs/", "artifact contents by hash", {"api": _CREATE, "sweeper": _DELETE}),
)
"""Every prefix of a scope that a role writes. No other code says who may write what."""

_LONGEST_FIRST: Final = sorted(WRITE_RULES, key=lambda rule: len(rule.prefix), reverse=True)
_BY_ROOM: Final[Mapping[str, tuple[PrefixRule, ...]]] = {
    room: tuple(rule for rule in _LONGEST_FIRST if rule.prefix.startswith(f"{room}/"))
    for room in {rule.prefix.partition("/")[0] for rule in WRITE_RULES}
}
"""The rules by the first segment of their prefix: every write asks."""
_NOTHING: Final[frozenset[Verb]] = frozenset()


def rule_of(key: str) -> PrefixRule | None:
    """The rule a scope-relative key falls under, or None."""
    for rule in _BY_ROOM.get(key.partition("/")[0], ()):
        if key.startswith(rule.prefix):
            return rule
    return None


def may(role: Role, verb: Verb, key: str) -> bool:
    """True when `role` may do `verb` to this scope-relative key."""
    rule = rule_of(key)
    return rule is not None and verb in rule.grants.get(role, _NOTHING)


def producers(domain: str) -> frozenset[str]:
    """The roles that append to the ledger of a domain: whose events may be folded (abuse-cases A-46)."""
    key = f"ledger/{domain}/x"
    return frozenset(role for role in get_args(Role) if may(role, Verb.CREATE, key))
