"""The only lister: walks a domain's ledger and finds what nobody ever handed to the compactor.

It compares ledger objects with the recorded outcomes, has what is missing folded by its explicit path, and moves no
watermark. The walk is bounded and resumed from a cursor object. Everything named below `decided_below` was seen to be
decided after nothing of that age could appear any more; only that may be forgotten or collected later. What "of that
age" means is told by the storage's time, never by this machine's: a clock that is ahead would declare decided what
nobody has written yet. Sources: catalog.md 3.9; reliability.md P7, R-08, R-20, rule 10.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import msgspec

from arco.core import instant, paths
from arco.core.errors import ArcoError
from arco.core.ids import ulid_from_int
from arco.core.limits import BATCH_UNITS_MAX, CLOCK_SKEW_MS, COMMAND_DEADLINE_MS
from arco.core.paths import Key
from arco.kernel import intake
from arco.kernel.decide import UNSUPPORTED
from arco.kernel.envelope import Unit
from arco.kernel.fold import Outcome
from arco.kernel.manifest import encode
from arco.kernel.reader import ChainSnapshot
from arco.kernel.records import FLOORS, OUTCOMES
from arco.kernel.workshop import Workshop
from arco.storage.port import Absent, Matches, ObjectInfo, StorageUnavailable, StoredObject

Submit = Callable[[Sequence[Unit], int], Awaitable[Sequence[Outcome]]]
"""Has units folded; their outcomes. Raises `OutcomeUnknown`."""

SETTLED_MS: Final = 5 * (COMMAND_DEADLINE_MS + CLOCK_SKEW_MS)
"""An event id older than this can appear no more: deadline, skew and the latest an append may come, with room."""

YOUNG_MS: Final = 10_000
"""An object younger than this is most likely being folded by whoever appended it."""

_FILE: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}\.json\Z")
_TOGETHER: Final = 16


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the walk has come (catalog.md 3.9); the last three are ours.

    `begun_ms` is a time of the storage at which the walk under way had not begun yet; 0 when that is not known.
    """

    token: str | None = None
    last_path: str | None = None
    objects_scanned: int = 0
    last_updated: str = ""
    completed_scans: int = 0
    decided_below: str = ""
    lowest: str = ""
    begun_ms: int = 0


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """What one run found: `missed` were not folded, `pending` still are not, `quarantined` can never be.

    `head` is the manifest it compared with; -1 for a workspace that has none.
    """

    objects_scanned: int = 0
    missed: int = 0
    pending: int = 0
    quarantined: int = 0
    scan_complete: bool = False
    decided_below: str = ""
    head: int = -1


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much one run looks at, and how long a batch of what was missed may take."""

    objects_max: int = 1_000
    batch: int = 100
    timeout_ms: int = 30_000


class AntiEntropy:
    """Walks the ledgers of one scope."""

    def __init__(self, shop: Workshop, submit: Submit) -> None:
        self._shop = shop
        self._submit = submit

    async def run(self, domain: str, bounds: Bounds) -> Sweep:
        """Look at the next objects of a domain's ledger. Raises `StorageUnavailable`, `CorruptData`."""
        key = paths.anti_entropy_cursor(domain)
        held = await self._shop.store.get(key)
        cursor = await self._under_way(held, key)
        prefix = f"ledger/{domain}/"
        listed = await self._shop.store.list_page(prefix, after=cursor.last_path or "", limit=bounds.objects_max)
        head = await self._head()
        walk = _Walk(self._shop, domain, cursor, head)
        for start in range(0, len(listed), _TOGETHER):
            await asyncio.gather(*(walk.look(info) for info in listed[start : start + _TOGETHER]))
        await self._fold(walk, bounds)
        complete = len(listed) < bounds.objects_max
        after = self._moved(cursor, listed, walk, complete=complete)
        await self._shop.store.put(key, encode(after), when=Absent() if held is None else Matches(held.version))
        return Sweep(
            objects_scanned=len(listed),
            missed=walk.missed,
            pending=walk.pending,
            quarantined=walk.quarantined,
            scan_complete=complete,
            decided_below=after.decided_below,
            head=-1 if head is None else int(head.manifest_id),
        )

    async def decided_below(self, domain: str) -> str:
        """Every unit of the domain's ledger named below this was seen to be decided; empty when none was."""
        held = await self._shop.store.get(paths.anti_entropy_cursor(domain))
        return "" if held is None else _decoded(held.body).decided_below

    async def _under_way(self, held: StoredObject | None, key: Key) -> Cursor:
        """The walk to go on with. A new one begins after the cursor was last written, whose time the storage knows."""
        if held is None:
            return Cursor()
        cursor = _decoded(held.body)
        if cursor.last_path:
            return cursor
        info = await self._shop.store.head(key)
        same = info is not None and info.version == held.version
        return msgspec.structs.replace(cursor, begun_ms=info.modified_ms if info is not None and same else 0)

    async def _head(self) -> ChainSnapshot | None:
        head = await self._shop.chain.find()
        return None if head is None else ChainSnapshot(await self._shop.state_of(head), self._shop.loader)

    def _moved(self, cursor: Cursor, listed: Sequence[ObjectInfo], walk: "_Walk", *, complete: bool) -> Cursor:
        now = instant.stored_text(self._shop.clock.now_ms())
        lowest = min(filter(None, (cursor.lowest if cursor.last_path else "", walk.lowest)), default="")
        scanned = cursor.objects_scanned + len(listed)
        if not complete:
            return msgspec.structs.replace(
                cursor, last_path=listed[-1].key, objects_scanned=scanned, last_updated=now, lowest=lowest
            )
        # Not the highest that was ever claimed: what turns up late, below an earlier claim, takes the claim back.
        settled = _settled(cursor)
        return Cursor(
            objects_scanned=scanned,
            last_updated=now,
            completed_scans=cursor.completed_scans + 1,
            decided_below=min(settled, lowest) if lowest else settled,
        )

    async def _fold(self, walk: "_Walk", bounds: Bounds) -> None:
        """Hand in what was missed; what cannot be decided now stays and is found again."""
        for part in _parts(walk.found, bounds.batch):
            units = [unit for item in part for unit in item.units]
            try:
                async with asyncio.timeout(bounds.timeout_ms / 1000):
                    outcomes = await self._submit(units, sum(item.size_bytes for item in part))
            except (ArcoError, StorageUnavailable, TimeoutError) as error:
                self._shop.log.warning("orphans_not_folded", domain=walk.domain, reason=str(error), objects=len(part))
                walk.keep(part)
                continue
            open_still = {one.unit_id for one in outcomes if one.status == UNSUPPORTED}
            walk.keep([item for item in part if any(unit.unit_id in open_still for unit in item.units)])


class _Walk:
    """One page of a walk."""

    def __init__(self, shop: Workshop, domain: str, cursor: Cursor, head: ChainSnapshot | None) -> None:
        self._shop = shop
        self._head = head
        self._known_below = min(cursor.decided_below, _settled(cursor))
        # A clock that is behind must not take everything for young.
        self._now_ms = max(shop.clock.now_ms(), cursor.begun_ms)
        self.domain = domain
        self.found: list[intake.LedgerObject] = []
        self.missed = self.pending = self.quarantined = 0
        self.lowest = ""

    async def look(self, info: ObjectInfo) -> None:
        """Note the object when one of its units has no outcome."""
        name = info.key.rsplit("/", 1)[1]
        if not _FILE.match(name):
            return
        first = name.removesuffix(".json")
        decided = await is_decided(self._head, first)
        if decided and first < self._known_below:
            return
        try:
            item = await intake.read(self._shop, self.domain, info.key)
        except intake.Quarantined:
            self.quarantined += 0 if decided else 1
            return
        if item is None or all([await is_decided(self._head, unit.unit_id) for unit in item.units]):
            return
        if self._now_ms - info.modified_ms < YOUNG_MS:
            self._undecided(first)
            return
        self.missed += len(item.units)
        self.found.append(item)

    def keep(self, items: Sequence[intake.LedgerObject]) -> None:
        """These are still undecided: nothing at or above them counts as decided."""
        self.pending += sum(len(item.units) for item in items)
        for item in items:
            self._undecided(item.path.rsplit("/", 1)[1].removesuffix(".json"))

    def _undecided(self, first: str) -> None:
        self.lowest = min(self.lowest, first) if self.lowest else first


async def is_decided(head: ChainSnapshot | None, unit_id: str) -> bool:
    """True when the unit has an outcome, or is so old that it may have been forgotten."""
    if head is None:
        return False
    if await head.get(OUTCOMES, (unit_id,)) is not None:
        return True
    floor = await head.get(FLOORS, ("outcomes",))
    return floor is not None and unit_id < floor.floor


def _parts(items: Sequence[intake.LedgerObject], most: int) -> Iterator[Sequence[intake.LedgerObject]]:
    """Batches of at most `most` objects, and of not more units than a commit takes."""
    part: list[intake.LedgerObject] = []
    units = 0
    for item in items:
        if part and (len(part) == most or units + len(item.units) > BATCH_UNITS_MAX):
            yield part
            part, units = [], 0
        part.append(item)
        units += len(item.units)
    if part:
        yield part


def _settled(cursor: Cursor) -> str:
    """Nothing named below this can appear after the walk began."""
    return str(ulid_from_int(max(cursor.begun_ms - SETTLED_MS, 0) << 80))


def _decoded(body: bytes) -> Cursor:
    try:
        return msgspec.json.decode(body, type=Cursor)
    except msgspec.MsgspecError:
        return Cursor()  # a cursor is only a place to go on from
