"""Five hops over a million edges: building the index, walking it, and answering with whole edges.

Run: `python benchmarks/lineage_graph.py [--edges N] [--nodes N] [--json FILE]`. One process, one thread, no storage:
what is measured is the index itself. Targets: p50 <= 1 ms, p95 <= 5 ms warm (performance targets, "lineage").
"""

import argparse
import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from arco.domains.lineage.graph import Bounds, EdgeIndex
from arco.domains.lineage.indexing import indexed
from arco.domains.lineage.rows import LINEAGE_EDGES
from arco.kernel.codec import arrow_schema

STARTS = 60
HOPS = 5
SEED = 20_130_101
SKEW = 1.5  # 1 is uniform; above it a few nodes have many edges, as in real warehouses


def edge_table(edges: int, nodes: int, rng: random.Random) -> pa.Table:
    """Random edges between UUID-like nodes, some of them hubs, in the key order of the table."""
    names = [f"{rng.getrandbits(128):032x}" for _ in range(nodes)]
    names = [f"{name[:8]}-{name[8:12]}-7{name[13:16]}-{name[16:20]}-{name[20:]}" for name in names]
    runs: list[str | None] = [None, *(f"run-{number:06d}" for number in range(2_000))]

    def hub() -> str:
        return names[int(nodes * rng.random() ** SKEW)]

    rows = sorted((hub(), f"{rng.getrandbits(256):064x}", rng.choice(names), rng.choice(runs)) for _ in range(edges))
    columns = {
        "id": [row[1] for row in rows],
        "source_id": [row[0] for row in rows],
        "target_id": [row[2] for row in rows],
        "edge_type": ["derives_from"] * edges,
        "run_id": [row[3] for row in rows],
        "created_at": [1_767_225_600_000 + number for number in range(edges)],
    }
    return pa.table(columns, schema=arrow_schema(LINEAGE_EDGES))


def timed(work: Any, repeats: int) -> tuple[Any, float]:
    """The last result and the best time in ms."""
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        result = work()
        best = min(best, (time.perf_counter() - begun) * 1_000)
    return result, best


def quantiles(samples: list[float]) -> dict[str, float]:
    """p50, p95 and the largest, in ms."""
    ordered = sorted(samples)
    return {
        "p50_ms": round(ordered[len(ordered) // 2], 3),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 3),
        "max_ms": round(ordered[-1], 3),
    }


def walks(index: EdgeIndex, starts: list[str], bounds: Bounds) -> dict[str, Any]:
    """Times of walking, of that with whole edges, and of that with JSON; for each start, both directions apart."""
    reached: list[int] = []
    times: dict[str, list[float]] = {"walk": [], "walk+rows": [], "walk+rows+json": []}
    for start in starts:
        for downstream in (True, False):
            begun = time.perf_counter()
            reach = index.reach(start, bounds, downstream=downstream)
            walked = time.perf_counter()
            rows = index.rows(reach.edges)
            made = time.perf_counter()
            msgspec.json.encode((rows, reach.nodes))
            done = time.perf_counter()
            reached.append(len(reach.nodes))
            for name, end in (("walk", walked), ("walk+rows", made), ("walk+rows+json", done)):
                times[name].append((end - begun) * 1_000)
    reached.sort()
    return {
        "reached_p50": reached[len(reached) // 2],
        "reached_max": reached[-1],
        **{name: quantiles(samples) for name, samples in times.items()},
    }


def report(edges: int, nodes: int) -> dict[str, Any]:
    """Every figure of one run."""
    rng = random.Random(SEED)
    table = edge_table(edges, nodes, rng)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    index, build_ms = timed(lambda: indexed(table), 3)
    peak_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1_024
    starts = rng.sample(table["source_id"].to_pylist(), STARTS)
    any_size = walks(index, starts, Bounds(HOPS, edges))
    capped = walks(index, starts, Bounds(HOPS, 10_000))
    return {
        "edges": edges,
        "nodes": nodes,
        "hops": HOPS,
        "seed": SEED,
        "python": sys.version.split()[0],
        "build_ms": round(build_ms, 1),
        "index_mb": round(index.size_bytes / 1_048_576, 1),
        "index_bytes_per_edge": round(index.size_bytes / edges, 1),
        "build_peak_mb": round(peak_mb, 1),
        "every edge": any_size,
        "at most 10,000 edges": capped,
    }


def main() -> None:
    """Measure, print the table, write the JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=300_000)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    args = parser.parse_args()
    figures = report(args.edges, args.nodes)
    print(f"{args.edges:,} edges, {args.nodes:,} nodes, {HOPS} hops, {STARTS} starts, both directions apart")
    print(f"build {figures['build_ms']} ms, index {figures['index_mb']} MB, peak +{figures['build_peak_mb']} MB")
    for name in ("every edge", "at most 10,000 edges"):
        part = figures[name]
        print(f"{name}: reached p50 {part['reached_p50']:,}, max {part['reached_max']:,}")
        for step in ("walk", "walk+rows", "walk+rows+json"):
            p50, p95, largest = part[step].values()
            print(f"  {step:<16} p50 {p50:>8.3f}   p95 {p95:>8.3f}   max {largest:>8.3f} ms")
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
