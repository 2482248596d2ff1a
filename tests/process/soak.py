"""An hour of mixed load on real processes: memory, open files, threads and children must not grow.

    python -m tests.process.soak --minutes 60 --report soak.json

An api and a compactor (or all roles in one process) on a local store serve clients who do everything there is, some of
it wrong, at a pace that leaves the machine half idle, with a quiet second now and then in which deltas are merged. The
hours of retention are minutes (`hurried.py`), so that collection, forgetting and expiry happen many times. Whether a
series is flat is said by its slope (Theil & Sen) over the medians of its minutes after the warm-up.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from tests.process import hurried
from tests.process.crashes import say
from tests.process.servers import environment
from tests.process.soak_client import Tally
from tests.process.soak_load import Client, settle
from tests.process.soak_party import Party, Plan, at_rest, write_facts
from tests.process.soak_report import Report, Watch, growing, marks, table

QUIET_EVERY_S: Final = 20.0
QUIET_S: Final = 1.5


class Load:
    """The clients' threads, paced."""

    def __init__(self, port: int, plan: Plan, tally: Tally, *, first: int = 0) -> None:
        self._plan = plan
        self._stop = threading.Event()
        self._began = time.monotonic()
        self.failures: list[BaseException] = []
        each = max(plan.tables // plan.clients, 1)
        self._clients = [Client(first + number, port, plan.seed, tally, tables=each) for number in range(plan.clients)]
        self._threads = [threading.Thread(target=self._guarded, args=(client,)) for client in self._clients]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let every client finish what it is at. Raises what one of them fell over."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
        for client in self._clients:
            client.close()
        if self.failures:
            raise self.failures[0]

    def _guarded(self, client: Client) -> None:
        try:
            self._work(client)
        except BaseException as error:  # noqa: BLE001  # handed to whoever ends the load
            self.failures.append(error)

    def _work(self, client: Client) -> None:
        rate = self._plan.steps_a_second / self._plan.clients
        due = time.monotonic()
        while not self._stop.is_set():
            # Who is late does not hurry after it: the pace is a bound, not a debt.
            due = max(due + client.chance.expovariate(rate), time.monotonic() - 1)
            self._stop.wait(max(due - time.monotonic(), 0))
            left = QUIET_EVERY_S - (time.monotonic() - self._began) % QUIET_EVERY_S
            if left < QUIET_S:
                self._stop.wait(left)
            if not self._stop.is_set():
                client.step()


def run(folder: Path, plan: Plan, progress: Callable[[str], None]) -> Report:
    """One run, from start to verdict."""
    tally = Tally()
    with contextlib.ExitStack() as stack:
        party = Party(folder, plan)
        stack.callback(party.close)
        settle(party.port, lambda: write_facts(folder))
        _awake(party.port, plan)
        before = at_rest(party)
        watch, load = Watch(party, folder, plan), Load(party.port, plan, tally)
        began, cpu = time.monotonic(), party.cpu_s()
        load.start()
        try:
            _watch_until(plan, watch, tally, progress)
        finally:
            load.end()
        took = time.monotonic() - began
        share = (party.cpu_s() - cpu) / took
        after = at_rest(party)
        complaints, counts = party.complaints(), party.counts()
        codes = [server.stop() for server in reversed(party.servers.values())]
    assert codes == [0] * len(codes), codes
    trends = watch.trends()
    return Report(
        plan=plan,
        seconds=took,
        requests=sum(tally.statuses.values()),
        statuses={str(status): count for status, count in sorted(tally.statuses.items())},
        answers=dict(sorted(tally.answers.items())),
        surprises=tally.surprises,
        late=tally.late,
        lost=tally.lost,
        processor_share=share,
        rest={"before": before, "after": after},
        trends=trends,
        marks=marks(watch, plan),
        store=watch.store,
        complaints=dict(complaints),
        counts=counts,
        verified=verified(folder),
        growing=growing(trends, before, after),
        series=watch.series,
    )


def _awake(port: int, plan: Plan) -> None:
    """What is made when it is first asked for is made: helpers, and as many connections as clients need."""
    load = Load(port, plan, Tally(), first=plan.clients)
    load.start()
    threading.Event().wait(plan.awake_s)
    load.end()


def _watch_until(plan: Plan, watch: Watch, tally: Tally, progress: Callable[[str], None]) -> None:
    waiting = threading.Event()
    counted = 0.0
    began = time.monotonic()
    end = began + plan.seconds
    while (now := time.monotonic()) < end:
        watch.look()
        if now - counted >= plan.period_s:
            counted = now
            watch.count()
            statuses = " ".join(f"{status}:{count}" for status, count in sorted(tally.statuses.items()))
            objects = watch.store[-1][1]
            progress(f"{(now - began) / 60:.0f} min  {watch.line()}  store {sum(objects.values())}  {statuses}")
        waiting.wait(min(plan.sample_s, max(end - time.monotonic(), 0)))


def verified(folder: Path) -> str:
    """Whether what is published follows from the log, by the bounds it was made under; `ok`, or what differs."""
    command = [sys.executable, hurried.__file__, "verify", "--storage", f"file://{folder}"]
    done = subprocess.run(command, env=environment({}), capture_output=True, text=True, check=False)
    return "ok" if done.returncode == 0 else (done.stdout + done.stderr)[-2_000:]


def main() -> int:
    """The recorded run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=None, help="minutes; a quarter of the run when not given")
    parser.add_argument("--topology", choices=("split", "all"), default="split")
    parser.add_argument("--steps", type=float, default=35, help="what clients begin in a second, all together")
    parser.add_argument("--tables", type=int, default=400)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the servers")
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    plan = Plan(
        seconds=given.minutes * 60,
        warm_up_s=(given.minutes / 4 if given.warm_up is None else given.warm_up) * 60,
        topology=given.topology,
        steps_a_second=given.steps,
        tables=given.tables,
        seed=given.seed,
        variables=dict(one.split("=", 1) for one in given.set),
    )
    say(f"seed {plan.seed}, {given.minutes} minutes, {plan.topology}")
    folder = Path(tempfile.mkdtemp(prefix="arco-soak-"))
    try:
        report = run(folder, plan, say)
    finally:
        shutil.rmtree(folder)
    if given.report:
        given.report.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    for line in table(report):
        say(line)
    return 0 if report.fine else 1


if __name__ == "__main__":
    sys.exit(main())
