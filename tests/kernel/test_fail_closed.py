"""What a manifest names and storage does not hold as it was written is never read as something else (R-07, P8)."""

import pytest

from arco.core.errors import CorruptData
from arco.core.paths import Key
from arco.kernel import compose
from arco.storage.memory import MemoryStore
from arco.storage.port import Matches

from .world import Machine, VirtualClock


async def _written(monkeypatch: pytest.MonkeyPatch, *, settled: bool) -> Machine:
    monkeypatch.setattr(compose, "INLINE_DELTA_BYTES_MAX", 10)
    machine = Machine(MemoryStore(), VirtualClock()).start()
    for name in "abc":
        await machine.put(name, f"value of {name}")
    if settled:
        await machine.compactor.settle()
    await machine.compactor.stop()
    return machine


async def _named(machine: Machine, *, settled: bool) -> Key:
    snapshot = await machine.reader(cold=True).head()
    assert snapshot is not None
    manifest = snapshot.state.manifest
    if settled:
        return Key(manifest.tables["pairs"].refs[0].path)
    return Key(str(next(delta.path for delta in manifest.deltas if delta.path is not None)))


@pytest.mark.parametrize("settled", [False, True], ids=["a delta", "a segment"])
@pytest.mark.parametrize("harm", ["changed", "truncated", "gone"])
async def test_reading_fails_closed(monkeypatch: pytest.MonkeyPatch, settled: bool, harm: str) -> None:
    machine = await _written(monkeypatch, settled=settled)
    key = await _named(machine, settled=settled)
    found = await machine.store.get(key)
    assert found is not None
    if harm == "gone":
        await machine.store.delete(key, when=Matches(found.version))
    else:
        # Still well formed where that is possible: only the hash tells.
        body = found.body.replace(b"value of a", b"value of z") if harm == "changed" else found.body[:-1]
        assert body != found.body
        await machine.store.put(key, body, when=Matches(found.version))
    with pytest.raises(CorruptData):
        await machine.rows()
