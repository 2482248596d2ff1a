"""Storage operations are counted by kind, family and result, and never by key."""

from arco.core.metrics import Registry
from arco.core.paths import Key
from arco.storage.memory import MemoryStore
from arco.storage.metered import MeteredStore
from arco.storage.port import Absent, Matches


async def test_operations_are_counted_by_kind_family_and_result():
    registry = Registry()
    store = MeteredStore(MemoryStore(), registry)
    await store.put(Key("ledger/catalog/a.json"), b"12345", when=Absent())
    await store.put(Key("ledger/catalog/a.json"), b"1", when=Absent())
    await store.put(Key("manifests/x.pointer.json"), b"1", when=Matches("7"))
    await store.get(Key("ledger/catalog/a.json"))
    await store.get(Key("whatever/b.json"))
    text = registry.render()
    for line in (
        'arco_storage_operations_total{operation="create",prefix="ledger",result="success"} 1',
        'arco_storage_operations_total{operation="create",prefix="ledger",result="precondition_failed"} 1',
        'arco_storage_operations_total{operation="cas",prefix="manifests",result="precondition_failed"} 1',
        'arco_storage_operations_total{operation="get",prefix="ledger",result="success"} 1',
        'arco_storage_operations_total{operation="get",prefix="other",result="absent"} 1',
        'arco_storage_bytes_total{operation="get",prefix="ledger"} 5',
    ):
        assert line in text, text


async def test_names_that_callers_choose_make_no_series():
    registry = Registry()
    store = MeteredStore(MemoryStore(), registry)
    for number in range(50):
        await store.get(Key(f"folder{number}/x"))
    assert registry.render().count('operation="get",prefix=') == 2
