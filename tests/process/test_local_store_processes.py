"""The local store between processes: races have one winner, and a killed writer leaves nothing half written."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.process import local_store_worker as worker

import arco
from arco.core.paths import Key
from arco.storage.local import LocalStore
from arco.storage.port import Absent, Matches, Stored

pytestmark = pytest.mark.process

PROCESSES = 4
KILLS = 12
SEED = 20_131


@contextmanager
def started(work: str, root: Path, rounds: int, count: int = PROCESSES) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that began at about the same time."""
    environment = {**os.environ, "PYTHONPATH": str(Path(arco.__file__).parents[1])}
    command = [sys.executable, worker.__file__, work, str(root)]
    processes = [
        subprocess.Popen(
            [*command, f"w{number}", str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def told(process: subprocess.Popen[str]) -> list[str]:
    """What a process told until it ended well."""
    lines, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return lines.split()


def test_of_processes_that_create_one_key_exactly_one_wins_and_none_is_lost(tmp_path: Path):
    rounds = 300
    with started("create", tmp_path, rounds) as processes:
        won = {f"w{number}": told(process) for number, process in enumerate(processes)}
    every = sorted(key for keys in won.values() for key in keys)
    assert every == [f"{number:05d}" for number in range(rounds)]
    for name, keys in won.items():
        assert all((tmp_path / "ledger" / key).read_text() == name for key in keys)


def test_processes_that_count_by_replacing_lose_no_count(tmp_path: Path):
    rounds = 50
    store = LocalStore(tmp_path)
    asyncio.run(_created(store, worker.COUNTER, b"0"))
    with started("count", tmp_path, rounds) as processes:
        versions = [version for process in processes for version in told(process)]
    assert (tmp_path / worker.COUNTER).read_bytes() == str(PROCESSES * rounds).encode()
    assert len(set(versions)) == PROCESSES * rounds
    store.close()


def test_versions_do_not_return_while_processes_create_replace_and_delete_one_key(tmp_path: Path):
    with started("churn", tmp_path, 150) as processes:
        versions = [version for process in processes for version in told(process)]
    assert len(versions) > PROCESSES
    assert len(set(versions)) == len(versions)


def test_a_killed_writer_leaves_whole_objects_or_none_and_all_that_it_was_told_of(tmp_path: Path):
    chance = random.Random(SEED)
    for turn in range(KILLS):
        root = tmp_path / str(turn % 2)
        with started("write", root, 0, count=1) as (process,):
            assert process.stdout is not None
            lines = [process.stdout.readline().strip() for _ in range(chance.randrange(1, 12))]
            # Right after an answer, so in the midst of the next write.
            process.kill()
            lines += process.stdout.read().split("\n")
        asyncio.run(_all_is_whole(root, {line for line in lines if line.startswith("snapshots/")}))
        for path in (root / "snapshots").iterdir():
            path.unlink()


async def _all_is_whole(root: Path, told_of: set[str]) -> None:
    store = LocalStore(root)
    found = {info.key for info in await store.list_page("snapshots/", limit=10_000)}
    assert told_of <= found, f"seed {SEED}"
    for key in (*found, worker.POINTER):
        held = await store.get(key)
        assert held is None or worker.is_whole(held.body), f"{key} is a part of an object; seed {SEED}"
    # Nothing the dead left behind is in the way: its lock ended with it.
    pointer = await store.get(worker.POINTER)
    if pointer is not None:
        assert isinstance(await store.put(worker.POINTER, pointer.body, when=Matches(pointer.version)), Stored)
    store.close()


async def _created(store: LocalStore, key: Key, body: bytes) -> None:
    assert isinstance(await store.put(key, body, when=Absent()), Stored)
