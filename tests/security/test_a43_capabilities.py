"""A-43: each role writes its own prefixes and nothing else; the store it is given has no way to.

The matrix is asked of real stores: every role tries every verb on a key of every prefix; what is not granted does not
reach storage. What must never be granted is written down once more here, so that the table cannot drift unseen.
"""

import pytest

from arco.core.paths import Key
from arco.core.scope import Scope
from arco.storage.capabilities import WRITE_RULES, Role, Verb, may
from arco.storage.counting import CountingStore
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, Stored, WriteForbidden
from arco.storage.scoped import RoleStore, TenantStore

ROLES: tuple[Role, ...] = ("api", "compactor", "flow-compactor", "dispatcher", "sweeper")
KEYS = sorted({rule.prefix + ("x" if rule.prefix.endswith("/") else "") for rule in WRITE_RULES} | {"other/x"})

NEVER: list[tuple[Role, Verb, str]] = [
    *(
        ("api", verb, key)
        for verb in Verb
        for key in ("snapshots/catalog/x", "manifests/catalog/x", "commits/catalog/x")
    ),
    *(("api", verb, key) for verb in Verb for key in ("manifests/catalog.pointer.json", "locks/x", "state/x")),
    *((role, Verb.REPLACE, "ledger/catalog/x") for role in ROLES),
    # The collector, and nobody else, takes away what was decided longer ago than the ledger is kept.
    *((role, Verb.DELETE, "ledger/catalog/x") for role in ROLES if role != "compactor"),
    *((role, Verb.CREATE, "ledger/catalog/x") for role in ("compactor", "flow-compactor", "dispatcher")),
    *((role, verb, "manifests/catalog/x") for role in ("flow-compactor", "dispatcher", "sweeper") for verb in Verb),
    *(("dispatcher", verb, key) for verb in Verb for key in ("state/orchestration/x", "snapshots/orchestration/x")),
    *(("compactor", verb, "state/orchestration/x") for verb in Verb),
    *(("sweeper", Verb.DELETE, key) for key in ("ledger/catalog/x", "snapshots/catalog/x", "tables/x", "warehouse/x")),
    *((role, verb, key) for role in ROLES for verb in Verb for key in ("x", "system/x", "../x")),
]


@pytest.mark.parametrize("role", ROLES)
async def test_a43_what_is_not_granted_does_not_reach_storage(role):
    inner = MemoryStore()
    counting = CountingStore(inner)
    store = RoleStore(TenantStore(counting, Scope("acme", "prod")), role)
    for key in KEYS:
        there = Key(f"tenant=acme/workspace=prod/{key}")
        stored = await inner.put(there, b"x", when=Absent())
        assert isinstance(stored, Stored)
        tries = {
            Verb.CREATE: lambda key=key: store.put(Key(key), b"y", when=Absent()),
            Verb.REPLACE: lambda key=key: store.put(Key(key), b"y", when=Matches("no such version")),
            Verb.DELETE: lambda key=key: store.delete(Key(key), when=Matches("no such version")),
        }
        for verb, attempt in tries.items():
            counting.operations.clear()
            if may(role, verb, key):
                await attempt()
                assert len(counting.operations) == 1, (role, verb, key)
                continue
            with pytest.raises(WriteForbidden):
                await attempt()
            assert counting.operations == [], (role, verb, key)
        found = await inner.get(there)
        assert found is not None
        assert found.body == b"x"


@pytest.mark.parametrize(("role", "verb", "key"), NEVER, ids=lambda part: str(getattr(part, "value", part)))
def test_a43_what_must_never_be_granted_is_not(role, verb, key):
    assert not may(role, verb, key)
