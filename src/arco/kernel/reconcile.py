"""Reconciling a chain with what is stored: is everything there that a retained version reaches, and is that readable.

`current_head_only` looks at the head; `full` also at the names of the chain and of the kept copies. Existence is told
from listings, so that looking costs a page of names per thousand objects; what they lack is asked for by name. Bytes of
the head are read and hashed, and what the copies reach is looked at, only when asked for (`deep`). Source: catalog.md
3.9.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from arco.core import instant, paths
from arco.core.canonical_json import sha256_hex
from arco.core.errors import CorruptData
from arco.core.paths import Key
from arco.kernel.chain import Head
from arco.kernel.manifest import Manifest, Page, Ref
from arco.kernel.retention.reach import direct
from arco.kernel.retention.versions import Versions
from arco.kernel.workshop import Workshop

ISSUES_MAX: Final = 1_000
DENSE_READ_MAX: Final = 64
"""Manifests of the chain that are read to see that they can be; the collector reads the oldest ones anyway."""

SCOPES: Final = ("current_head_only", "full")


class Issue(msgspec.Struct, frozen=True):
    """One thing that is not as it should be."""

    issue_type: str
    path: str
    description: str
    severity: str
    repairable: bool


class Report(msgspec.Struct, kw_only=True):
    """The contract's report on one domain."""

    domain: str
    checked_at: str
    manifest_snapshot_version: int = 0
    manifest_snapshot_count: int = 0
    storage_snapshot_count: int = 0
    ledger_event_count: int = 0
    issues: list[Issue] = []

    def add(self, issue_type: str, path: str, description: str, *, severity: str, repairable: bool) -> None:
        """Note an issue, up to a number that can be looked at."""
        if len(self.issues) < ISSUES_MAX:
            self.issues.append(Issue(issue_type, path, description, severity, repairable))


class Reconciler:
    """Reconciles the chain of one scope."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._chain = shop.chain
        self._versions = Versions(shop.store, shop.chain, shop.clock)

    async def check(self, domain: str, scope: str, *, deep: bool = False) -> Report:
        """What is wrong. Raises `StorageUnavailable`."""
        report = Report(domain=domain, checked_at=instant.stored_text(self._shop.clock.now_ms()), issues=[])
        stored = await self._stored()
        report.storage_snapshot_count = len(stored)
        try:
            head = await self._chain.find()
        except CorruptData as error:
            report.add("missing_manifest", "", error.message, severity="critical", repairable=True)
            return report
        if head is None:
            return report
        report.manifest_snapshot_version = head.manifest.snapshot_version
        seen: set[str] = set()
        await self._version(report, head.manifest, stored, seen, deep=deep)
        report.manifest_snapshot_count = 1
        if scope == "full":
            await self._others(report, head, stored, seen, deep=deep)
            report.ledger_event_count = await self._count(f"ledger/{domain}/")
        return report

    async def _others(self, report: Report, head: Head, stored: set[str], seen: set[str], *, deep: bool) -> None:
        """The names of the chain and of the copies; what the copies reach only when asked for: they are many."""
        record = await self._chain.retention()
        numbers = await self._numbers(f"manifests/{self._chain.spec.name}/")
        for number in await self._holes(sorted(set(range(record.floor, head.number)) - numbers)[:ISSUES_MAX]):
            path = self._chain.key(number)
            report.add("missing_manifest", path, "the chain has a hole", severity="error", repairable=True)
        for number in sorted(number for number in numbers if record.floor <= number < head.number)[-DENSE_READ_MAX:]:
            await self._readable(report, number)
        there = await self._numbers(f"retention/manifests/{self._chain.spec.name}/")
        kept = [one.number for one in record.kept]
        for number in sorted(set(kept) - there):
            path = paths.kept_manifest(self._chain.spec.name, number)
            report.add("missing_manifest", path, "a kept version is gone", severity="error", repairable=False)
        report.manifest_snapshot_count += len(there & set(kept))
        for number in kept if deep else ():
            for manifest in (await self._versions.copies([number])).values():
                await self._version(report, manifest, stored, seen)

    async def _holes(self, unlisted: Sequence[int]) -> list[int]:
        """Those that are not there and were not collected meanwhile."""
        gone = [number for number in unlisted if await self._shop.store.head(self._chain.key(number)) is None]
        floor = (await self._chain.retention()).floor if gone else 0
        return [number for number in gone if number >= floor]

    async def _readable(self, report: Report, number: int) -> None:
        try:
            await self._chain.read(number)
            report.manifest_snapshot_count += 1
        except CorruptData as error:
            path = self._chain.key(number)
            report.add("missing_manifest", path, error.message, severity="error", repairable=True)

    async def _version(
        self, report: Report, manifest: Manifest, stored: set[str], seen: set[str], *, deep: bool = False
    ) -> None:
        """Everything one version reaches is there."""
        for path in sorted(direct(manifest) - seen):
            seen.add(path)
            await self._present(report, path, stored, f"manifest {manifest.number} names it", repairable=False)
        for table, tree in manifest.tables.items():
            await self._refs(report, tree.refs, tree.level, table, stored=stored, seen=seen, deep=deep)

    async def _refs(
        self,
        report: Report,
        refs: Sequence[Ref],
        level: int,
        table: str,
        *,
        stored: set[str],
        seen: set[str],
        deep: bool,
    ) -> None:
        for ref in refs:
            if ref.path in seen:
                continue
            seen.add(ref.path)
            if not await self._present(report, ref.path, stored, f"table {table} needs it", repairable=True):
                continue
            if deep and not await self._sound(report, ref, table):
                continue
            if level:
                try:
                    page: Page = await self._shop.loader.page(ref)
                except CorruptData as error:
                    self._corrupt(report, ref.path, table, error.message)
                    continue
                await self._refs(report, page.refs, page.level, table, stored=stored, seen=seen, deep=deep)

    async def _present(self, report: Report, path: str, stored: set[str], why: str, *, repairable: bool) -> bool:
        # A listing may be stale, and is older than what was written since: only who is asked for by name is missing.
        if path in stored or await self._shop.store.head(Key(path)) is not None:
            return True
        report.add("missing_snapshot", path, f"{why} and it is gone", severity="critical", repairable=repairable)
        return False

    async def _sound(self, report: Report, ref: Ref, table: str) -> bool:
        found = await self._shop.store.get(Key(ref.path))
        if found is not None and sha256_hex(found.body) == ref.sha256:
            return True
        self._corrupt(report, ref.path, table, f"{ref.path} is not what its hash says")
        return False

    @staticmethod
    def _corrupt(report: Report, path: str, table: str, message: str) -> None:
        report.add("missing_snapshot", path, f"table {table}: {message}", severity="critical", repairable=True)

    async def _stored(self) -> set[str]:
        name = self._chain.spec.name
        found: set[str] = set()
        for prefix in (f"commits/{name}/", f"snapshots/{name}/"):
            found |= {key async for key in self._names(prefix)}
        return found

    async def _numbers(self, prefix: str) -> set[int]:
        names = [key async for key in self._names(prefix)]
        return {number for number in map(paths.number_in, names) if number is not None}

    async def _count(self, prefix: str) -> int:
        return len([key async for key in self._names(prefix)])

    async def _names(self, prefix: str) -> AsyncIterator[str]:
        after = ""
        while listed := await self._shop.store.list_page(prefix, after=after):
            for info in listed:
                yield str(info.key)
            after = listed[-1].key
