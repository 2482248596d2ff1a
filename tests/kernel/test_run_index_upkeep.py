"""The index of runs on the real kernel: with a new chain's first commit, in an older one step by step, replayed."""

from typing import Any

from benchmarks.loading import SCOPE
from tests.unit.orchestration.story import START_MS, Story, of

from arco.core.ids import ulid_from_int
from arco.domains.orchestration.domain import OrchestrationDomain
from arco.domains.orchestration.rows import TASKS
from arco.domains.run_index.fold import RunIndexDomain
from arco.domains.run_index.rows import RUN_INDEX, RUN_INDEX_BUILDING
from arco.kernel.chain import ORCHESTRATION_CHAIN
from arco.kernel.compactor import Compactor
from arco.kernel.envelope import Unit
from arco.kernel.fold import Domain
from arco.kernel.reader import ChainSnapshot
from arco.kernel.upkeep import keep_up, upkeep_unit
from arco.kernel.verify import Verifier
from arco.kernel.workshop import Workshop
from arco.roles.process import Process, make_process

OWN = OrchestrationDomain(SCOPE)
INDEX = RunIndexDomain(SCOPE)
RUNS, WIDTH = 30, 12
IDLE_MS = 1_000_000


def shop_of(process: Process, *domains: Domain) -> Workshop:
    return Workshop(
        process.scoped_store(SCOPE, "flow-compactor"),
        ORCHESTRATION_CHAIN,
        domains,
        ports=process,
        cache=process.scoped_cache(SCOPE),
        grace_ms=process.grace_ms,
    )


def run_id(number: int) -> str:
    return ulid_from_int((START_MS << 80) + number + 1)


def news() -> list[Unit]:
    """Runs of twelve tasks each; of every third one a task was worked on, every fifth one was called off."""
    story = Story()
    for number in range(RUNS):
        run = run_id(number)
        story.run_of({f"n.t{index:02d}": [] for index in range(WIDTH)}, run)
        if number % 3 == 0:
            story.dispatch("n.t03", run_id=run)
            story.start("n.t03", run_id=run)
            story.tell("TaskFinished", **of("n.t03", 1, run), worker_id="w", outcome="succeeded")
        if number % 5 == 0:
            story.tell("RunCancelRequested", run_id=run, requested_by="u")
    return [Unit((event,)) for event in story.told]


async def commit(shop: Workshop, units: list[Unit]) -> None:
    compactor = Compactor(shop, idle_merge_ms=IDLE_MS)
    compactor.start()
    for begin in range(0, len(units), 10):
        answer = await compactor.submit(units[begin : begin + 10], 0)
        assert {outcome.status for outcome in answer.outcomes} == {"accepted"}
    await compactor.settle()
    await compactor.stop()


async def snapshot_of(shop: Workshop) -> ChainSnapshot:
    head = await shop.chain.find()
    assert head is not None
    return ChainSnapshot(await shop.state_of(head), shop.loader)


async def is_whole(shop: Workshop) -> None:
    snapshot = await snapshot_of(shop)
    index = {RUN_INDEX.key_of(row): row for row in await snapshot.scan(RUN_INDEX)}
    tasks = {TASKS.key_of(task): task for task in await snapshot.scan(TASKS)}
    assert index.keys() == tasks.keys()
    told: dict[Any, Any] = {key: (row.task_status, row.attempt, row.run_id) for key, row in index.items()}
    assert told == {key: (task.state, task.attempt, task.run_id) for key, task in tasks.items()}
    assert snapshot.count(RUN_INDEX) == RUNS * WIDTH
    assert snapshot.state.manifest.counts[RUN_INDEX_BUILDING.name] == 0
    report = await Verifier(shop, lambda _done, _of: None).run()
    assert report.ok, report.differences


async def test_a_new_chain_has_its_index_from_the_first_commit() -> None:
    process = make_process("memory://")
    shop = shop_of(process, OWN, INDEX)
    await commit(shop, news())
    await is_whole(shop)
    head = await shop.chain.find()
    assert head is not None
    assert upkeep_unit(shop, head.manifest) is None


async def test_an_older_chain_gets_its_index_in_steps_and_replays() -> None:
    process = make_process("memory://")
    units = news()
    await commit(shop_of(process, OWN), units[:-20])
    shop = shop_of(process, OWN, INDEX)
    assert (await snapshot_of(shop)).counted(RUN_INDEX) is None
    compactor = Compactor(shop, idle_merge_ms=IDLE_MS)
    compactor.start()
    await compactor.submit(units[-20:-10], 0)
    assert (await snapshot_of(shop)).count(RUN_INDEX) == 0
    await keep_up(shop, compactor)
    await compactor.submit(units[-10:], 0)
    await compactor.settle()
    await compactor.stop()
    await is_whole(shop)
