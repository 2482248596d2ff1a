"""Composing the next manifest: where a batch's changes go, and which objects must be written before it.

Small changes ride inline in the manifest; when the inline part grows they are spilled to one object; spilled deltas
of a tier are joined into one of the next when there are enough of them. A finished merge replaces the deltas it
covered.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from arco.core import instant, paths
from arco.core.canonical_json import sha256_hex
from arco.core.limits import DELTA_TIER_WIDTH, INLINE_DELTA_BYTES_MAX
from arco.kernel.batch import FoldedBatch
from arco.kernel.chain import ChainSpec
from arco.kernel.envelope import Unit
from arco.kernel.layers import Changes, Layer, encode_layer, joined, layer_of, row_count
from arco.kernel.manifest import (
    CommitInputs,
    CommitRecord,
    CommitRef,
    CommittedUnit,
    Delta,
    Manifest,
    SnapshotInfo,
    TableTree,
    encode,
)
from arco.kernel.merge import WrittenObject
from arco.kernel.records import KERNEL_DOMAIN
from arco.kernel.spec import TableSpec
from arco.kernel.state import ChainState


class Draft(msgspec.Struct, frozen=True):
    """A manifest ready to be created, the objects it names, and its layers."""

    manifest: Manifest
    objects: tuple[WrittenObject, ...]
    layers: tuple[Layer, ...]


class FinishedMerge(msgspec.Struct, frozen=True):
    """Trees that hold the first deltas: `covers` are their ids, oldest first.

    `residue` is one delta, already written, with what was not worth merging yet. `onto` are the trees that `trees` were
    made from: it fits only where they still stand, for repair may have built one anew.
    """

    covers: tuple[str, ...]
    trees: dict[str, TableTree]
    residue: tuple[Delta, Layer] | None = None
    onto: dict[str, TableTree] = {}

    def fits(self, state: ChainState) -> bool:
        """True when it can land on this state: what it covers and what it was made from is what stands there."""
        present = tuple(delta.delta_id for delta in state.manifest.deltas[: len(self.covers)])
        return present == self.covers and all(state.tree(table) == tree for table, tree in self.onto.items())


RESIDUE_TIER: Final = 100
"""Marks the delta of what a merge left over; it is never joined with others."""


def residue_delta(
    changes: Changes, specs: Mapping[str, TableSpec[Any]], *, name: str, path: str
) -> tuple[Delta, bytes]:
    """The delta, and its body, of changes that a merge left over."""
    body = encode_layer(changes, specs)
    delta = Delta(
        delta_id=f"residue-{name}",
        tier=RESIDUE_TIER,
        rows=row_count(changes),
        bytes=len(body),
        tables=tuple(sorted(changes)),
        path=path,
        sha256=sha256_hex(body),
    )
    return delta, body


class _Deltas:
    """The deltas of the next manifest with their layers, as they are rearranged."""

    def __init__(self, chain: str, number: int, attempt: str, specs: Mapping[str, TableSpec[Any]]) -> None:
        self._where = (chain, number, attempt)
        self._specs = specs
        self._made = 0
        self._frozen = 0
        self.items: list[tuple[Delta, Layer]] = []
        self.inline: dict[str, msgspec.Raw] = {}
        self.objects: list[WrittenObject] = []

    def keep(self, state: ChainState, covered: int, frozen: int) -> None:
        """Take over the deltas no merge has covered; the first `frozen` are being merged and must stay as they are."""
        self._frozen = frozen
        for delta, layer in list(zip(state.manifest.deltas, state.layers, strict=True))[covered:]:
            self.items.append((delta, layer))
            if delta.path is None:
                self.inline[delta.delta_id] = state.manifest.inline[delta.delta_id]

    def add(self, changes: Changes) -> None:
        """Append a commit's changes, inline if they fit."""
        body = encode_layer(changes, self._specs)
        inline_bytes = sum(delta.bytes for delta, _ in self.items[self._frozen :] if delta.path is None)
        if inline_bytes + len(body) <= INLINE_DELTA_BYTES_MAX:
            delta = self._delta(changes, body, tier=0, path=None)
            self.inline[delta.delta_id] = msgspec.Raw(body)
            self.items.append((delta, layer_of(changes)))
            return
        # Deltas are read in order, so nothing may move past another: an inline one that a spilled one follows (a merge
        # held it when that was written) takes the later ones along.
        first = next((at for at in range(self._frozen, len(self.items)) if self.items[at][0].path is None), None)
        tail = [] if first is None else self.items[first:]
        del self.items[len(self.items) - len(tail) :]
        for delta, _ in tail:
            self.inline.pop(delta.delta_id, None)
        if not tail:
            self._spill_encoded(changes, body, tier=1)
        else:
            tier = max(1, *(delta.tier for delta, _ in tail))
            self._spill([*(layer for _, layer in tail), layer_of(changes)], tier=tier)
        self._join_tiers()

    def _spill(self, layers: Sequence[Layer], tier: int) -> None:
        changes = joined(layers)
        self._spill_encoded(changes, encode_layer(changes, self._specs), tier=tier)

    def _spill_encoded(self, changes: Changes, body: bytes, *, tier: int) -> None:
        chain, number, attempt = self._where
        key = paths.delta(chain, number, attempt, self._made)
        delta = self._delta(changes, body, tier=tier, path=key)
        self.items.append((delta, layer_of(changes)))
        self.objects.append(WrittenObject(key, body, None, 0))

    def _join_tiers(self) -> None:
        """Join the newest deltas of one tier into one of the next when there are enough of them."""
        while True:
            tier = self.items[-1][0].tier
            run = 0
            while run < len(self.items) - self._frozen and self.items[-1 - run][0].tier == tier:
                run += 1
            if run < DELTA_TIER_WIDTH:
                return
            joining = self.items[-run:]
            del self.items[-run:]
            paths_joined = {delta.path for delta, _ in joining}
            self.objects = [item for item in self.objects if item.key not in paths_joined]
            self._spill([layer for _, layer in joining], tier=tier + 1)

    def _delta(self, changes: Changes, body: bytes, *, tier: int, path: str | None) -> Delta:
        _, number, attempt = self._where
        self._made += 1
        return Delta(
            delta_id=f"{number:020d}-{attempt}-{self._made}",
            tier=tier,
            rows=row_count(changes),
            bytes=len(body),
            tables=tuple(sorted(changes)),
            path=path,
            sha256=None if path is None else sha256_hex(body),
        )


class Composer:
    """Makes drafts of one chain's manifests."""

    def __init__(self, spec: ChainSpec, specs: Mapping[str, TableSpec[Any]]) -> None:
        self._chain = spec
        self._specs = specs

    def draft(
        self,
        state: ChainState,
        folded: FoldedBatch,
        units: Sequence[Unit],
        inputs: CommitInputs,
        *,
        attempt: str,
        merge: FinishedMerge | None,
        frozen: int,
    ) -> Draft:
        """The manifest after `state` that holds the folded batch and, if given, a finished merge.

        `frozen` is how many of the oldest deltas a running merge is reading.
        """
        number = state.head.next_number
        covered = len(merge.covers) if merge else 0
        deltas = _Deltas(self._chain.name, number, attempt, self._specs)
        if merge is not None and merge.residue is not None:
            deltas.items.append(merge.residue)
        deltas.keep(state, covered, frozen)
        if folded.changes:
            deltas.add(folded.changes)
        record, record_ref = self._record(state, folded, units, inputs=inputs, attempt=attempt)
        objects = tuple(deltas.objects)
        if record is not None:
            objects = (*objects, record)
        manifest = self._manifest(state, folded, inputs, attempt=attempt, commit=record_ref, merge=merge, deltas=deltas)
        return Draft(manifest, objects, tuple(layer for _, layer in deltas.items))

    def _record(
        self, state: ChainState, folded: FoldedBatch, units: Sequence[Unit], *, inputs: CommitInputs, attempt: str
    ) -> tuple[WrittenObject | None, CommitRef | None]:
        kept = [
            CommittedUnit(unit.events, outcome)
            for unit, outcome, fresh in zip(units, folded.outcomes, folded.fresh, strict=True)
            if fresh
        ]
        if not kept:
            return None, None
        number = state.head.next_number
        record = CommitRecord(
            manifest_id=f"{number:020d}",
            attempt=attempt,
            parent_hash=state.head.raw_hash,
            inputs=inputs,
            units=tuple(kept),
        )
        body = encode(record)
        key = paths.commit_record(self._chain.name, number, attempt)
        ref = CommitRef(path=key, sha256=sha256_hex(body), bytes=len(body), units=len(kept))
        return WrittenObject(key, body, None, 0), ref

    def _manifest(
        self,
        state: ChainState,
        folded: FoldedBatch,
        inputs: CommitInputs,
        *,
        attempt: str,
        commit: CommitRef | None,
        merge: FinishedMerge | None,
        deltas: _Deltas,
    ) -> Manifest:
        previous = state.manifest
        trees = {**previous.tables, **(merge.trees if merge else {})}
        # Clocks differ and step back; the chain's own time does not, or looking up a time would have no answer.
        now = instant.stored_text(max(inputs.now_ms, instant.parse_ms(previous.updated_at)))
        number = state.head.next_number
        return msgspec.structs.replace(
            previous,
            manifest_id=f"{number:020d}",
            epoch=inputs.epoch,
            previous_manifest_path=str(paths.manifest(self._chain.name, previous.number)),
            parent_hash=state.head.raw_hash,
            snapshot_version=folded.snapshot_version,
            snapshot=self._summary(folded, trees, deltas, now),
            watermark_event_id=self._watermark(previous, folded),
            last_commit_id=inputs.commit_ulid,
            commit_ulid=inputs.commit_ulid,
            updated_at=now,
            attempt=attempt,
            commit=commit,
            fold_version=inputs.fold_version,
            counts=folded.counts,
            domain_manifests=self._domain_manifests(previous, folded, number),
            table_manifests={**previous.table_manifests, **dict.fromkeys(sorted(folded.changes), f"{number:020d}")},
            tables={name: tree for name, tree in trees.items() if tree.refs},
            deltas=tuple(delta for delta, _ in deltas.items),
            inline=deltas.inline,
        )

    def _summary(self, folded: FoldedBatch, trees: Mapping[str, TableTree], deltas: _Deltas, now: str) -> SnapshotInfo:
        tree_bytes = sum(ref.below_bytes or ref.bytes for tree in trees.values() for ref in tree.refs)
        return SnapshotInfo(
            version=folded.snapshot_version,
            path=f"snapshots/{self._chain.name}/",
            published_at=now,
            total_rows=sum(folded.counts.values()),
            total_bytes=tree_bytes + sum(delta.bytes for delta, _ in deltas.items),
        )

    def _domain_manifests(self, previous: Manifest, folded: FoldedBatch, number: int) -> dict[str, str]:
        first = self._chain.domains[0]
        domains = (self._specs[name].domain for name in folded.changes)
        changed = {first if domain == KERNEL_DOMAIN else domain for domain in domains}
        return {**previous.domain_manifests, **dict.fromkeys(sorted(changed), f"{number:020d}")}

    @staticmethod
    def _watermark(previous: Manifest, folded: FoldedBatch) -> str | None:
        ids = [outcome.unit_id for outcome, fresh in zip(folded.outcomes, folded.fresh, strict=True) if fresh]
        return max([*ids, previous.watermark_event_id or ""]) or None
