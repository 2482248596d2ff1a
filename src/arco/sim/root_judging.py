"""What must hold of root transactions: while they go on, at every write, and when everything has come to rest.

T1  a decision is made once, and a complete record changes no more
T2  a record is complete only when every member it names is visible
T3  what a `root:{tx}` token reads is the whole transaction, at the manifests where it came to be, and nothing before
T4  every transaction is in both chains or in neither, whatever its caller was told, and callers were told the truth
T5  when all is calm nothing is held, nothing is under way, and every record is complete or says abort
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from arco.domains.catalog.tables import CATALOGS
from arco.domains.orchestration.rows import RUNS as RUN_ROWS
from arco.domains.orchestration.rows import TASKS
from arco.domains.transactions.root import COMMIT, RootRecord
from arco.domains.transactions.root_commands import HOME, RUNS
from arco.domains.transactions.rows import ABORTED, PREPARED_TRANSACTIONS, TRANSACTIONS, VISIBLE
from arco.kernel.reader import ChainSnapshot
from arco.kernel.records import HELD_KEYS
from arco.kernel.verify import Verifier
from arco.kernel.workshop import Workshop
from arco.sim.bucket import Held, SimBucket
from arco.sim.monitors import ChainMonitor, Violations
from arco.sim.root_clients import Asked

_RECORDS: Final = "/transactions/root/"
_TASKS: Final = 2


class RootMonitor:
    """Follows both chains of a scope and the records. Implements what `monitors.Spy` passes writes on to."""

    def __init__(self, bucket: SimBucket, chains: Mapping[str, ChainMonitor], violations: Violations) -> None:
        self._bucket = bucket
        self._chains = chains
        self._violations = violations
        self.records: dict[str, RootRecord] = {}

    def stored(self, actor: str, key: str, held: Held, replaced: Held | None) -> None:
        """Judge a write, or pass it on to the monitor of its chain."""
        if _RECORDS in key:
            self._record(key, msgspec.json.decode(held.body, type=RootRecord))
            return
        chain = RUNS if any(part.startswith(RUNS) for part in key.split("/")[2:4]) else HOME
        self._chains[chain].stored(actor, key, held, replaced)

    def deleted(self, _actor: str, key: str, _held: Held) -> None:
        """Nothing is collected here."""
        self._violations.add("R-08", f"{key} was deleted")

    def _record(self, key: str, record: RootRecord) -> None:
        before = self.records.get(record.tx_id)
        self.records[record.tx_id] = record
        if before is not None and before.decision != record.decision:
            self._violations.add("T1", f"{record.tx_id} was decided {before.decision}, and {record.decision} later")
        if before is not None and before.complete and before != record:
            self._violations.add("T1", f"the complete record of {record.tx_id} changed")
        scope = key.partition(_RECORDS)[0]
        for domain, member in record.domains.items():
            if f"{scope}/{member.manifest_path}" not in self._bucket.objects:
                self._violations.add("T2", f"{record.tx_id} names a manifest of {domain} that is not there")


class Judge:
    """Looks at everything, without faults, when it is over. `shops` read each chain."""

    def __init__(self, monitor: RootMonitor, shops: Mapping[str, Workshop], violations: Violations) -> None:
        self._monitor = monitor
        self._shops = shops
        self._add = violations.add

    async def run(self, asked: Sequence[Asked]) -> None:
        """Judge the end."""
        heads = {domain: await self._at(domain, None) for domain in self._shops}
        lifecycles = {domain: await self._at_rest(domain, head) for domain, head in heads.items()}
        for record in self._monitor.records.values():
            if record.decision == COMMIT and not record.complete:
                self._add("T5", f"the record of {record.tx_id} is not complete")
            self._decided(record, lifecycles)
        for tx_id in lifecycles[HOME].keys() | lifecycles[RUNS].keys():
            if tx_id not in self._monitor.records:
                self._add("T5", f"{tx_id} has no record")
        roots = {one.wanted.request_hash: one for one in asked if one.kind == "root"}
        for record in self._monitor.records.values():
            if record.complete:
                await self._token(record, roots)
        for one in asked:
            await self._told(one, heads)
        for domain, shop in self._shops.items():
            if heads[domain] is not None:
                for sentence in (await Verifier(shop, lambda _done, _of: None).run()).differences:
                    self._add("R-12", sentence)

    async def _at(self, domain: str, number: int | None) -> ChainSnapshot | None:
        shop = self._shops[domain]
        head = await (shop.chain.find() if number is None else shop.chain.read(number))
        return None if head is None else ChainSnapshot(await shop.state_of(head), shop.loader)

    async def _at_rest(self, domain: str, head: ChainSnapshot | None) -> dict[str, str]:
        """The roots a chain knows of, and what it says became of them (T5)."""
        if head is None:
            return {}
        if held := head.count(HELD_KEYS):
            self._add("T5", f"{held} keys of {domain} are held by nobody")
        if left := head.count(PREPARED_TRANSACTIONS):
            self._add("T5", f"{left} transactions of {domain} are still under way")
        rows = [row for row in await head.scan(TRANSACTIONS) if row.kind == "root_commit"]
        for row in rows:
            if row.lifecycle not in (VISIBLE, ABORTED):
                self._add("T5", f"{row.handle_id} is {row.lifecycle} in {domain}")
        return {row.handle_id: row.lifecycle for row in rows}

    def _decided(self, record: RootRecord, lifecycles: Mapping[str, Mapping[str, str]]) -> None:
        wanted = VISIBLE if record.decision == COMMIT else ABORTED
        for domain, known in lifecycles.items():
            found = known.get(record.tx_id)
            if domain in record.participants and found != wanted and (found is not None or wanted == VISIBLE):
                self._add("T4", f"{record.tx_id} was decided {record.decision} and is {found} in {domain}")

    async def _token(self, record: RootRecord, roots: Mapping[str, Asked]) -> None:
        """What the token reads (T3)."""
        pinned: dict[str, Any] = {}
        before: dict[str, Any] = {}
        for domain, member in record.domains.items():
            number = int(member.manifest_id)
            pinned[domain] = await self._at(domain, number)
            before[domain] = await self._at(domain, number - 1) if number else None
        row = await pinned[HOME].get(TRANSACTIONS, (record.tx_id,))
        asked = None if row is None else roots.get(row.request_hash)
        if asked is None:
            self._add("T3", f"the manifest {record.tx_id} pins does not know it")
            return
        if await self._parts(asked, pinned) != (True, True):
            self._add("T3", f"root:{record.tx_id} reads a part of {asked.token}: {await self._parts(asked, pinned)}")
        if True in await self._parts(asked, before):
            self._add("T3", f"{asked.token} was there before the manifests that {record.tx_id} pins")

    async def _parts(self, asked: Asked, snapshots: Mapping[str, Any]) -> tuple[bool, bool]:
        """Whether each chain has its part of what was asked."""
        home, runs = snapshots.get(HOME), snapshots.get(RUNS)
        row = None if home is None else await home.get(CATALOGS, (asked.name,))
        run = None if runs is None else await runs.get(RUN_ROWS, (asked.run_id,))
        tasks = [] if runs is None else await runs.scan(TASKS, prefix=(asked.run_id,))
        if (run is None) != (not tasks) or (run is not None and len(tasks) != _TASKS):
            self._add("T4", f"the run of {asked.token} is there in part")
        return row is not None and row.description == asked.token, run is not None

    async def _told(self, asked: Asked, heads: Mapping[str, Any]) -> None:
        """What is there against what its caller was told (T4)."""
        found = await self._parts(asked, heads)
        if asked.gone:
            if asked.kind == "root" and found[0] != found[1]:
                self._add("T4", f"{asked.token}, whose caller is gone, is there in part: {found}")
            return
        if asked.answer is None:
            self._add("R-29", f"{asked.kind} {asked.token} stays undecided")
        wanted = bool(asked.answer)
        expected = {"root": (wanted, wanted), "ddl": (wanted, False), "batch": (False, wanted)}[asked.kind]
        if found != expected:
            self._add("T4", f"{asked.kind} {asked.token} was told {asked.answer!r}, and {found} is there")
