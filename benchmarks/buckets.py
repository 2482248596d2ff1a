"""What an operation on a bucket costs this process: CPU time for each, beside one bare request of the same kind.

    python -m benchmarks.buckets [--operations 2000]

The emulated store answers in about a millisecond and is another process; CPU time of this one does not depend on it.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable

import aiohttp
from tests.emulators.processes import AWS_VARIABLES, BUCKET, Emulator, a_gcs, an_s3

from arco.core.paths import Key
from arco.storage.gcs import GcsStore
from arco.storage.port import Absent, ObjectStore
from arco.storage.s3 import S3Store

BODY = b"x" * 4096
ROUNDS = 5
Work = Callable[[int], Awaitable[object]]


async def measured(work: Work, count: int) -> str:
    """CPU microseconds of one operation, median of rounds with least and most; and the wall's median."""
    cpu: list[float] = []
    wall: list[float] = []
    for turn in range(ROUNDS + 1):
        began = time.process_time()
        for number in range(count):
            start = time.perf_counter()
            await work(turn * count + number)
            wall.append((time.perf_counter() - start) * 1000)
        cpu.append((time.process_time() - began) / count * 1e6)
    cpu = cpu[1:]  # the first round warms up
    return f"{statistics.median(cpu):6.0f} ({min(cpu):.0f} to {max(cpu):.0f})   {statistics.median(wall):6.2f}"


async def of_store(name: str, store: ObjectStore, count: int) -> None:
    """Writes, reads and looks at small objects."""
    await store.put(Key("read"), BODY, when=Absent())
    works: tuple[tuple[str, Work], ...] = (
        ("put 4 KiB", lambda number: store.put(Key(f"w/{number}"), BODY, when=Absent())),
        ("get 4 KiB", lambda _: store.get(Key("read"))),
        ("head", lambda _: store.head(Key("read"))),
    )
    for what, work in works:
        print(f"{name:12} {what:10} {await measured(work, count)}")


async def run(gcs: Emulator, s3: Emulator, count: int) -> None:
    """All of it, one after the other."""
    print(f"{'':12} {'':10} CPU us, median (least to most)   wall ms")
    async with aiohttp.ClientSession() as session:
        url = f"{gcs.endpoint}/download/storage/v1/b/{BUCKET}/o/bench%2Fread?alt=media"

        async def bare(_: int) -> object:
            async with session.get(url) as answer:
                return await answer.read()

        store = GcsStore(BUCKET, "bench/", endpoint=gcs.endpoint)
        await of_store("gcs", store, count)
        print(f"{'bare aiohttp':12} {'get 4 KiB':10} {await measured(bare, count)}")
        await store.close()
    other = S3Store(BUCKET, "bench/", endpoint=s3.endpoint)
    await of_store("s3", other, max(count // 4, 50))
    await other.close()


def main() -> None:
    """Parse, start the emulators, measure."""
    parser = argparse.ArgumentParser(description="What an operation on a bucket costs this process.")
    parser.add_argument("--operations", type=int, default=400, help="operations of one round")
    count = parser.parse_args().operations
    os.environ.update(AWS_VARIABLES)
    with a_gcs() as gcs, an_s3() as s3:
        asyncio.run(run(gcs, s3, count))


if __name__ == "__main__":
    main()
