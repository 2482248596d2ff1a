"""The invariants of a chain, checked at every change of the bucket and at every answer (reliability.md 4).

One `ChainMonitor` follows one scope: it keeps its own idea of the chain, made of nothing but what was stored.
`Violations` collects what is broken, first things first; a schedule with none is fine.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from arco.core import instant, paths
from arco.core.canonical_json import sha256_hex
from arco.core.errors import CorruptData
from arco.core.scope import Scope
from arco.kernel.chain import CATALOG_CHAIN
from arco.kernel.fold import Outcome
from arco.kernel.manifest import (
    CommittedUnit,
    Manifest,
    decode_commit_record,
    decode_manifest,
    decode_page,
    decode_pointer,
    hash_text,
)
from arco.kernel.retention.record import decode_record
from arco.sim.bucket import Held, SimBucket, Watcher

SLACK_S: Final = 130.0
"""How much earlier than a grace after it was superseded a collector may delete: its clock may be off that much."""


class Violations:
    """What was broken, and when."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, invariant: str, sentence: str) -> None:
        """Note that an invariant does not hold."""
        if len(self.found) < 50:
            self.found.append(f"{invariant}: {sentence}")


class Folded(msgspec.Struct, frozen=True):
    """A unit of the chain: the manifest that holds it, and its recorded outcome."""

    number: int
    unit: CommittedUnit


class ChainMonitor:
    """One scope's chain as the bucket tells it. Implements `bucket.Watcher` for keys of the scope."""

    def __init__(
        self,
        bucket: SimBucket,
        scope: Scope,
        violations: Violations,
        *,
        grace_s: float,
        chain: str = CATALOG_CHAIN.name,
    ) -> None:
        self._chain = chain
        self._bucket = bucket
        self._prefix = scope.prefix
        self._violations = violations
        self._grace_s = grace_s
        self._manifests = f"{scope.prefix}manifests/{chain}/"
        self._record = f"{scope.prefix}{paths.retention_record(chain)}"
        self._sound: set[str] = set()
        self.kept: tuple[int, ...] = ()
        self.head: Manifest | None = None
        self.head_hash = ""
        self.head_writer = ""
        self.numbers: list[int] = []
        self.units: dict[str, Folded] = {}
        self.superseded_s: dict[int, float] = {}
        self.reach: dict[int, frozenset[str]] = {}
        self.pointers: dict[str, int] = {}
        self.claims: dict[tuple[str, str], tuple[str, str, str]] = {}
        self.first: dict[tuple[str, str], Folded] = {}
        self.ghosts = 0
        self._gone_below = 0

    # --- what is stored -----------------------------------------------------------------------------------------------

    def stored(self, actor: str, key: str, held: Held, replaced: Held | None) -> None:
        """Judge a write that took effect."""
        if replaced is not None:
            if not key.endswith(".pointer.json") and "/retention/" not in key and "/locks/" not in key:
                self._broken("R-03", f"{key} was written over")
                return
            if replaced.body == held.body:
                return
        if key.startswith(self._manifests):
            self._manifest(key, held)
            self.head_writer = (
                actor if self.numbers and key.endswith(f"{self.numbers[-1]:020d}.json") else self.head_writer
            )
        elif key.endswith(".pointer.json"):
            self._pointer(key, held)
        elif key == self._record:
            record = decode_record(held.body)
            self.kept = tuple(one.number for one in record.kept)
        elif (before := self._bucket.gone.get(key)) is not None and before.body != held.body:
            self._broken("R-03", f"{key} was deleted and came back with other bytes")

    def _manifest(self, key: str, held: Held) -> None:
        manifest = decode_manifest(held.body)
        number, head = manifest.number, self.head
        if head is None:
            if number:
                self._broken("R-02", f"the first manifest is {number}")
            self._extend(manifest, held, "")
            return
        if number <= head.number:
            # A sleeper's write to a number that was collected: nobody may believe it, and nothing says that it was.
            self.ghosts += 1
            return
        if manifest.parent_hash != self.head_hash:
            self._broken("R-02", f"manifest {number} does not continue {head.number}")
            return
        expected = f"manifests/{self._chain}/{head.number:020d}.json"
        if manifest.previous_manifest_path != expected or number != head.number + 1:
            self._broken("R-02", f"manifest {number} follows {head.number} and names {manifest.previous_manifest_path}")
        if manifest.epoch < head.epoch:
            self._broken("R-02", f"manifest {number} goes back from epoch {head.epoch} to {manifest.epoch}")
        if manifest.snapshot_version < head.snapshot_version or _ms(manifest) < _ms(head):
            self._broken("R-02", f"manifest {number} goes back in version or time")
        self.superseded_s[head.number] = held.created_s
        self._extend(manifest, held, self.head_hash)

    def _extend(self, manifest: Manifest, held: Held, parent_hash: str) -> None:
        before = self.head
        self.head, self.head_hash = manifest, hash_text(held.body)
        self.numbers.append(manifest.number)
        self.reach[manifest.number] = self._reached(manifest)
        self._commit(manifest, before, parent_hash)

    def _reached(self, manifest: Manifest) -> frozenset[str]:
        """Everything the manifest names, each there with the recorded hash (R-07)."""
        found: set[str] = set()
        named = [(delta.path, delta.sha256) for delta in manifest.deltas if delta.path is not None]
        if manifest.commit is not None:
            named.append((manifest.commit.path, manifest.commit.sha256))
        for delta in manifest.deltas:
            if delta.path is None and delta.delta_id not in manifest.inline:
                self._broken("R-07", f"manifest {manifest.number} lacks its inline delta {delta.delta_id}")
        levels = [(ref, tree.level) for tree in manifest.tables.values() for ref in tree.refs]
        while levels:
            ref, level = levels.pop()
            named.append((ref.path, ref.sha256))
            if level and (page := self._held(ref.path)) is not None:
                levels.extend((below, level - 1) for below in decode_page(page.body).refs)
        for path, sha256 in named:
            found.add(path)
            if path not in self._sound:
                self._check_sound(manifest.number, path, sha256)
        return frozenset(found)

    def _check_sound(self, number: int, path: str, sha256: str | None) -> None:
        held = self._held(path)
        if held is None:
            self._broken("R-07", f"manifest {number} names {path}, which does not exist")
        elif sha256_hex(held.body) != sha256:
            self._broken("R-07", f"manifest {number} names {path} with another hash")
        else:
            self._sound.add(path)

    def _commit(self, manifest: Manifest, before: Manifest | None, parent_hash: str) -> None:
        if manifest.commit is None:
            if before is not None and manifest.tables == before.tables and manifest.deltas == before.deltas:
                self._broken("R-09", f"manifest {manifest.number} changes nothing")
            return
        held = self._held(manifest.commit.path)
        if held is None:
            return
        record = decode_commit_record(held.body)
        if record.parent_hash != parent_hash or record.manifest_id != manifest.manifest_id:
            self._broken("R-02", f"the commit record of manifest {manifest.number} belongs elsewhere")
        ids = [unit.outcome.unit_id for unit in record.units]
        if ids != sorted(ids):
            self._broken("R-13", f"manifest {manifest.number} folds out of event order")
        for unit in record.units:
            known = self.units.get(unit.outcome.unit_id)
            if known is not None:
                self._broken("R-14", f"{unit.outcome.unit_id} is folded by {known.number} and {manifest.number}")
            self.units[unit.outcome.unit_id] = Folded(manifest.number, unit)
            if unit.outcome.status == "unsupported":
                self._broken("R-04", f"{unit.outcome.unit_id} was decided by a build that does not know it")
            claim = unit.events[0].claim
            if claim is not None and _stands(unit.outcome):
                self.first.setdefault((claim.operation, claim.key_hash), Folded(manifest.number, unit))

    def _pointer(self, key: str, held: Held) -> None:
        pointer = decode_pointer(held.body)
        number = int(pointer.manifest_id)
        if number < self.pointers.get(key, -1):
            self._broken("R-02", f"{key} goes back from {self.pointers[key]} to {number}")
        if self.head is None or number > self.head.number:
            self._broken("R-07", f"{key} names manifest {number}, which is not in the chain")
        self.pointers[key] = number

    def deleted(self, _actor: str, key: str, _held: Held) -> None:
        """Judge a deletion (R-08)."""
        relative = key.removeprefix(self._prefix)
        now_s = self._bucket.seconds()
        safe_s = now_s - self._grace_s + SLACK_S
        self._sound.discard(relative)
        if key.startswith(self._manifests):
            number = int(key[-25:-5])
            if self.head is None or number >= self.head.number:
                self._broken("R-08", f"the head {number} was deleted")
            elif self.superseded_s.get(number, now_s) > safe_s:
                self._broken("R-08", f"manifest {number} was deleted within its grace")
            if number > self._gone_below:
                self._broken("R-08", f"manifest {number} was deleted before {self._gone_below}")
            self._gone_below = max(self._gone_below, number + 1)
            return
        if relative.startswith("retention/manifests/"):
            return
        if relative.startswith(("manifests/", "locks/", "retention/")):
            self._broken("R-08", f"{relative} was deleted")
            return
        young = [one for one in self.numbers if one == self.numbers[-1] or self.superseded_s[one] > safe_s]
        for number in (*self.kept, *young):
            if relative in self.reach.get(number, ()):
                self._broken("R-08", f"{relative} was deleted, and manifest {number} reaches it")

    # --- what is answered ---------------------------------------------------------------------------------------------

    def answered(self, outcome: Outcome, claim: tuple[str, str] | None) -> None:
        """Judge a definite outcome that a client was told (R-01, R-04, R-11)."""
        if outcome.status == "unsupported":
            return
        if not outcome.manifest_id or self.head is None or int(outcome.manifest_id) > self.head.number:
            self._broken("R-04", f"{outcome.unit_id} was answered {outcome.status} and its receipt is not in the chain")
            return
        known = self.units.get(outcome.unit_id)
        if known is not None and not outcome.replayed:
            recorded = known.unit.outcome
            if (recorded.status, recorded.code) != (outcome.status, outcome.code):
                self._broken("R-01", f"{outcome.unit_id} was answered {outcome.status} and is {recorded.status}")
            if known.number != int(outcome.manifest_id):
                self._broken("R-01", f"{outcome.unit_id} is in {known.number}, its receipt says {outcome.manifest_id}")
        elif known is None and not outcome.replayed:
            self._broken("R-01", f"{outcome.unit_id} was answered {outcome.status} and is not in the chain")
        if claim is not None and outcome.final and outcome.status in ("accepted", "rejected"):
            self._claimed(outcome, claim)

    def _claimed(self, outcome: Outcome, claim: tuple[str, str]) -> None:
        answer = (outcome.status, outcome.code, outcome.manifest_id)
        first = self.first.get(claim)
        if outcome.code != "idempotency_mismatch" and first is not None and first.number != int(outcome.manifest_id):
            self._broken(
                "R-11", f"the key {claim} took effect in {first.number}, its answer says {outcome.manifest_id}"
            )
        before = self.claims.setdefault(claim, answer)
        if before != answer and outcome.code != "idempotency_mismatch":
            self._broken("R-11", f"the key {claim} was answered {before} and {answer}")

    def _held(self, relative: str) -> Held | None:
        return self._bucket.objects.get(self._prefix + relative)

    def _broken(self, invariant: str, sentence: str) -> None:
        self._violations.add(invariant, sentence)


def _ms(manifest: Manifest) -> int:
    return instant.parse_ms(manifest.updated_at)


class Spy:
    """Who touches what: one scope's monitor hears only of its own keys, and roles write only theirs (R-16, R-26)."""

    def __init__(self, monitors: Mapping[str, Watcher], violations: Violations, may: Any) -> None:
        self._monitors = monitors
        self._violations = violations
        self._may = may

    def stored(self, actor: str, key: str, held: Held, replaced: Held | None) -> None:
        """Pass a write on to the monitor of its scope."""
        monitor = self._judged(actor, "create" if replaced is None else "replace", key)
        if monitor is not None:
            self._guarded(lambda: monitor.stored(actor, key, held, replaced), key)

    def deleted(self, actor: str, key: str, held: Held) -> None:
        """Pass a deletion on."""
        monitor = self._judged(actor, "delete", key)
        if monitor is not None:
            self._guarded(lambda: monitor.deleted(actor, key, held), key)

    def _judged(self, actor: str, verb: str, key: str) -> Watcher | None:
        prefix, _, relative = key.partition("/workspace=")
        workspace, _, relative = relative.partition("/")
        monitor = self._monitors.get(f"{prefix}/workspace={workspace}/")
        if monitor is None:
            self._violations.add("R-26", f"{actor} wrote {key}, outside of every scope")
        elif not self._may(actor, verb, relative):
            self._violations.add("R-16", f"{actor} may not {verb} {relative}")
        return monitor

    def _guarded(self, judge: Any, key: str) -> None:
        try:
            judge()
        except CorruptData as error:
            self._violations.add("R-07", f"{key} is not readable: {error}")


def _stands(outcome: Outcome) -> bool:
    """Whether this is what a key stands for from now on: a no that is not final leaves it to the next try."""
    return not outcome.replayed and (outcome.status == "accepted" or (outcome.status == "rejected" and outcome.final))
