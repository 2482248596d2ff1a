"""`python -m arco.sim`: one schedule, many of them, every fault in turn, or a failing one made small."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from arco.sim.minimise import Minimiser
from arco.sim.plan import Plan, decode_plan, encode_plan
from arco.sim.root_plans import root_paths
from arco.sim.roots import RootWorld
from arco.sim.running import ROOTS, Report, planner_of, run_many, runner_of
from arco.sim.swarm import PROFILES
from arco.sim.systematic import Sited, explore, pairs, paths, preemptions, singles, sites_of, sleepers, with_script
from arco.sim.timeline import timeline
from arco.sim.world import World

TIERS = ("A", "B", ROOTS)


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when nothing was broken, 1 when something was."""
    words = list(arguments)
    if not words or words[0].startswith("-"):
        words.insert(0, "one")
    options = _parser().parse_args(words)
    if options.command == "run":
        return _run(options)
    if options.command == "systematic":
        return _systematic(options)
    return _minimise(options) if options.command == "minimise" else _one(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m arco.sim", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("one", help="run one schedule (the default)")
    small = commands.add_parser("minimise", help="make a failing schedule small")
    for command in (one, small):
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--profile", choices=PROFILES, default="swarm")
        command.add_argument("--plan", type=Path, help="a plan of the corpus instead of a seed")
        command.add_argument("--tier", choices=TIERS, default="A")
        command.add_argument("--scope", default="", help="show only this tenant's operations")
        command.add_argument("--most", type=int, default=400, help="operations shown")
    small.add_argument("--out", type=Path, help="where to write the smallest plan")
    many = commands.add_parser("run", help="run many schedules")
    many.add_argument("--tier", choices=TIERS, default="A")
    many.add_argument("--schedules", type=int, default=1_000)
    many.add_argument("--first-seed", type=int, default=0)
    many.add_argument("--profiles", default="swarm", help=f"comma-separated, of {', '.join(PROFILES)}")
    many.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    many.add_argument("--report", type=Path)
    whole = commands.add_parser("systematic", help="every fault at every operation of the protocol's paths")
    whole.add_argument("--path", choices=sorted({**paths(), **root_paths()}), action="append", help="only these paths")
    whole.add_argument("--depth", type=int, choices=(1, 2), default=1, help="faults of one schedule")
    whole.add_argument("--sample", type=int, help="so many drawn pairs, pre-emptions or sleepers instead of all")
    return parser


def _one(options: argparse.Namespace) -> int:
    verdict = runner_of(options.tier)(_plan(options))
    print(timeline(verdict, scope=options.scope, most=options.most))
    return 0 if verdict.fine else 1


def _minimise(options: argparse.Namespace) -> int:
    minimiser = Minimiser(_plan(options), runner=runner_of(options.tier))
    verdict = minimiser.run()
    print(timeline(verdict, scope=options.scope, most=options.most))
    print(f"{minimiser.tries} tries")
    if options.out is not None:
        options.out.write_bytes(encode_plan(minimiser.plan))
    return 0 if verdict.fine else 1


def _run(options: argparse.Namespace) -> int:
    seeds = range(options.first_seed, options.first_seed + options.schedules)
    report = run_many(seeds, options.profiles.split(","), jobs=options.jobs, tier=options.tier, progress=_progress)
    text = msgspec.json.format(msgspec.json.encode(report))
    if options.report is None:
        print(text.decode())
    else:
        options.report.write_bytes(text)
    return 0 if report.fine else 1


def _systematic(options: argparse.Namespace) -> int:
    broken = 0
    every = {**paths(), **root_paths()}
    for name in options.path or sorted(every):
        plan = every[name]
        world_of: Callable[[Plan], Sited] = RootWorld if name in root_paths() else World
        kinds: dict[str, Iterator[Plan]] = {
            "singles": _drawn(plan, world_of),
            "sleepers": sleepers(plan, world_of=world_of),
        }
        if options.depth > 1:
            kinds["pairs"] = pairs(plan, sample=options.sample, world_of=world_of)
            if name == "race":
                kinds["pre-emptions"] = chain.from_iterable(
                    preemptions(depth=3, nap_s=nap_s, sample=options.sample) for nap_s in (50.0, 200.0, 900.0)
                )
        for kind, plans in kinds.items():
            count, failed = explore(plans, world_of=world_of)
            print(f"{name}: {count} {kind}, {len(failed)} broken", flush=True)
            broken += len(failed)
            for verdict in failed[:5]:
                print(f"  {verdict.profile}: {verdict.violations[0]}")
    return 1 if broken else 0


def _drawn(plan: Plan, world_of: Callable[[Plan], Sited]) -> Iterator[Plan]:
    return (with_script(plan, one) for one in singles(sites_of(plan, world_of)))


def _plan(options: argparse.Namespace) -> Plan:
    if options.plan:
        return decode_plan(options.plan.read_bytes())
    return planner_of(options.tier)(options.seed, options.profile)


def _progress(report: Report) -> None:
    line = f"{report.schedules} schedules, {report.failed} failed, {report.wall_s:.0f} s"
    print(f"\r{line}", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
    for sentence in report.violations[-1:] if report.failed else []:
        print(f"\n{sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
