"""`kill -9` of real api and compactor processes at random moments under load, again and again.

    python -m tests.process.crashes --cycles 500

Each cycle kills an api, a compactor, or both, while clients create, drop and read tables, some on names of their own
and some on names they fight for; the killed process starts again, clients ask again with the same idempotency keys,
and then everything any client was ever told must have one explanation: every name's history is searched for an order
(Wing & Gong), the lists hold nothing that nobody asked for, and `arco verify` replays the commit log. Source:
reliability.md 2 (P1, P4, P5), 5.4 and 8.
"""

import argparse
import json
import math
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from typing import Any

import msgspec
from tests.process.servers import API_ENVIRONMENT, COMPACTOR_ENVIRONMENT, Caller, Server, every_name, free_port

from arco.roles import verify
from arco.sim.checkers.registers import UNANSWERED, Operation, Verdict, check_linearizable

TABLES = "/catalogs/lake/schemas/raw/tables"
CLIENTS = 8
CYCLES_PER_STORE = 20
"""A new store now and then: the first commits of a chain are a protocol of their own."""


class Told(Exception):
    """An answer that no client should get."""


class Score(msgspec.Struct):
    """What a run has seen."""

    cycles: int = 0
    kills: dict[str, int] = {}
    operations: int = 0
    unanswered: int = 0
    names: int = 0
    undecided: int = 0
    units_verified: int = 0
    slowest_ready_s: float = 0.0


class Party:
    """The processes of one store: one or two compactors, and as many apis, each on a port that it keeps."""

    def __init__(self, folder: Path, pairs: int) -> None:
        self._storage = {"ARCO_STORAGE_BUCKET": f"file://{folder}"}
        self._variables: dict[str, dict[str, str]] = {}
        self.servers: dict[str, Server] = {}
        self.apis: list[str] = []
        self.ports: dict[str, int] = {}
        for number in range(pairs):
            port = free_port()
            self._variables[f"compactor{number}"] = {**COMPACTOR_ENVIRONMENT, "PORT": str(port)}
            url = {"ARCO_COMPACTOR_URL": f"http://127.0.0.1:{port}", "PORT": str(free_port())}
            self._variables[f"api{number}"] = {**API_ENVIRONMENT, **url}
            self.apis.append(f"api{number}")
        for name in self._variables:
            self.start(name)

    @property
    def names(self) -> list[str]:
        """The processes there are."""
        return list(self._variables)

    def start(self, name: str) -> float:
        """Start one process; seconds until it is ready."""
        role = name.rstrip("0123456789")
        server = Server([f"--role={role}"], {**self._storage, **self._variables[name]})
        self.servers[name] = server
        self.ports[name] = server.ports[role]
        return server.ready_s

    def kill(self, name: str) -> None:
        """End one process as a power switch would."""
        self.servers[name].process.kill()
        self.servers[name].close()

    def close(self) -> None:
        """End all of them."""
        for server in self.servers.values():
            server.close()


class Cycle:
    """The clients of one cycle and what they were told."""

    def __init__(self, number: int, party: Party, seed: int) -> None:
        self.number = number
        self.party = party
        self.seed = seed
        self.histories: dict[str, list[Operation]] = {}
        self.failures: list[BaseException] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._guarded, args=(client,)) for client in range(CLIENTS)]

    def start(self) -> None:
        """Let the clients begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let the clients finish what they are at. Raises what one of them fell over."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
        if self.failures:
            raise self.failures[0]

    def _guarded(self, client: int) -> None:
        try:
            self._client(client)
        except BaseException as error:  # noqa: BLE001  # handed to whoever ends the cycle
            self.failures.append(error)

    def _client(self, client: int) -> None:
        chance = random.Random(f"{self.seed}/{self.number}/{client}")
        count = 0
        while not self._stop.is_set():
            hot = chance.random() < 0.3
            name = f"c{self.number}_hot{chance.randrange(12)}" if hot else f"c{self.number}_{client}_{count}"
            count += 1
            if not hot:
                self._do(chance, client, "create", name)
                if chance.random() < 0.3:
                    self._do(chance, client, "drop", name)
                continue
            with self._lock:
                crowded = len(self.histories.get(name, ())) >= 14
            if not crowded:
                self._do(chance, client, chance.choice(("create", "create", "drop", "read")), name)

    def _do(self, chance: random.Random, client: int, call: str, name: str) -> None:
        """One operation, asked again with the same key while nobody answers; kept with what was told."""
        api = self.party.apis[client % len(self.party.apis)]
        key = new_key(chance) if call == "create" else None
        invoked = time.monotonic()
        result = _ask(self.party, api, call, name, key)
        tries = 0
        while result is UNANSWERED and call != "drop" and tries < 60 and chance.random() < 0.97:
            _pause(0.05)  # the process is being started again
            tries += 1
            result = _ask(self.party, api, call, name, key)
            if result is False and call == "create":
                # A refusal may be that of the name our own first try took and somebody dropped: it tells nothing.
                result = UNANSWERED
                break
        returned = math.inf if result is UNANSWERED else time.monotonic()
        if call == "read" and result is UNANSWERED:
            return
        with self._lock:
            self.histories.setdefault(name, []).append(Operation(call, result, invoked, returned))


def _ask(party: Party, api: str, call: str, name: str, key: str | None) -> Any:
    """True or False as the server says, or `UNANSWERED`. Raises `Told` for an answer out of place."""
    try:
        with Caller(party.ports[api], timeout_s=70) as caller:
            if call == "create":
                headers = {"Idempotency-Key": key} if key else None
                status, told = caller.ask("POST", TABLES, {"name": name, "columns": []}, headers)
            else:
                status, told = caller.ask("DELETE" if call == "drop" else "GET", f"{TABLES}/{name}")
    except (OSError, HTTPException, json.JSONDecodeError):
        return UNANSWERED
    yes, no = {"create": (201, (409,)), "drop": (204, (404,)), "read": (200, (404,))}[call]
    if status == yes:
        return True
    if status in no:
        return False
    if status == 503:
        return UNANSWERED
    raise Told(f"{call} {name}: {status} {told}")


def a_name(state: Hashable, call: Hashable) -> tuple[Hashable, Any]:
    """A name is there or it is not: what each call does to it, and tells."""
    if call == "create":
        return True, not state
    if call == "drop":
        return False, bool(state)
    return state, bool(state)


def new_key(chance: random.Random) -> str:
    """An idempotency key: a UUID of version 7."""
    bits = (int(time.time() * 1000) << 80) | (7 << 76) | (chance.getrandbits(12) << 64) | (2 << 62)
    text = f"{bits | chance.getrandbits(62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _pause(seconds: float) -> None:
    """Let the load run: *when* the crash comes is what is drawn, nothing is waited for."""
    threading.Event().wait(seconds)


def check(cycle: Cycle, present: set[str], score: Score) -> None:
    """Everything a client was told has an explanation that ends in what is there now."""
    now = time.monotonic()
    invented = {name for name in present if name.startswith(f"c{cycle.number}_")} - set(cycle.histories)
    assert not invented, f"nobody asked for {sorted(invented)[:5]}"
    for name, history in cycle.histories.items():
        whole = [*history, Operation("read", name in present, now, now)]
        verdict = check_linearizable(whole, False, a_name)
        assert verdict is not Verdict.NOT_LINEARIZABLE, f"no order explains {name}: {whole}"
        score.undecided += verdict is Verdict.UNDECIDED
        score.names += 1
        score.operations += len(history)
        score.unanswered += sum(one.result is UNANSWERED for one in history)


def one_cycle(party: Party, number: int, seed: int, score: Score) -> Cycle:
    """Load, kill at a random moment, start again under load, and let it end."""
    chance = random.Random(f"{seed}/{number}")
    cycle = Cycle(number, party, seed)
    cycle.start()
    _pause(chance.uniform(0.02, 0.5))
    victims = chance.sample(party.names, k=chance.choice((1, 1, 1, 2, len(party.names))))
    for victim in victims:
        party.kill(victim)
        score.kills[victim.rstrip("0123456789")] = score.kills.get(victim.rstrip("0123456789"), 0) + 1
    for victim in victims:
        score.slowest_ready_s = max(score.slowest_ready_s, party.start(victim))
    _pause(chance.uniform(0.02, 0.2))  # some load on what came back
    cycle.end()
    return cycle


def run_store(folder: Path, numbers: Sequence[int], seed: int, score: Score, progress: Any) -> None:
    """Some cycles on one new store, everything checked after each."""
    pairs = random.Random(f"{seed}/{numbers[0]}/pairs").choice((1, 1, 2))
    with ExitStack() as stack:
        party = Party(folder, pairs)
        stack.callback(party.close)
        with Caller(party.ports["api0"]) as caller:
            assert caller.ask("POST", "/catalogs", {"name": "lake"})[0] == 201
            assert caller.ask("POST", "/catalogs/lake/schemas", {"name": "raw"})[0] == 201
        for number in numbers:
            cycle = one_cycle(party, number, seed, score)
            listed = every_name(party.ports["api0"], TABLES, "tables")
            assert len(listed) == len(set(listed))
            check(cycle, set(listed), score)
            report = verify.run(f"file://{folder}", "local", "default", lambda _done, _of: None)
            assert report.ok, report.differences
            score.units_verified += report.units
            score.cycles += 1
            progress(score)


def say(line: str) -> None:
    """Tell whoever watches the run."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """The recorded run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    given = parser.parse_args()
    say(f"seed {given.seed}, {given.cycles} cycles")
    score = Score()
    began = time.monotonic()

    def progress(now: Score) -> None:
        if now.cycles % 10 == 0:
            rate = (time.monotonic() - began) / now.cycles
            say(f"{now.cycles} cycles, {now.operations} operations, {rate:.1f} s each")

    for first in range(0, given.cycles, CYCLES_PER_STORE):
        folder = Path(tempfile.mkdtemp(prefix="arco-crashes-"))
        try:
            numbers = range(first, min(first + CYCLES_PER_STORE, given.cycles))
            run_store(folder, numbers, given.seed, score, progress)
        except BaseException:
            say(f"seed {given.seed}, cycles {first}..., the store is kept: {folder}")
            raise
        shutil.rmtree(folder)
    say(json.dumps(msgspec.to_builtins(score)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
