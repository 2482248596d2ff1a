"""`arco dev`: server and worker of a project in one terminal, with its code as it changes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from arco.cli.failures import OK, CommandProblem
from arco.cli.terminal import Terminal
from arco.clients.api import DEFAULT_URL
from arco.core.entropy import SystemEntropy
from arco.demo.server import ChildServer, child_server, free_port

CATALOG: Final = "lake"
"""The catalog that tables of a project are registered in."""

_LOOK_S: Final = 0.5
_STOP_S: Final = 10.0
_LINES_TOLD: Final = 6
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})


def dev(args: Namespace, terminal: Terminal) -> int:
    """Start a server and a worker, deploy the project, and deploy it again whenever its files change."""
    targets = args.target or _found_here()
    # Whoever stops us stops what we started: the blocks below are left, as with Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    root = Path(args.storage or ".arco").resolve()
    worker_port, secret = free_port(0), SystemEntropy().bytes(32).hex()
    shared = {"ARCO_FLOW_WORKER_DISPATCH_SECRET": secret}
    server_settings = {**shared, "ARCO_FLOW_DISPATCH_TARGET_URL": f"http://127.0.0.1:{worker_port}"}
    with child_server(root, args.port, server_settings, log_name="dev-server.log") as server:
        with terminal.step("starting the server", keep=True):
            server.wait_ready()
        worker_settings = {
            **shared,
            "ARCO_FLOW_API_URL": server.url,
            "ARCO_FLOW_TENANT_ID": "local",
            "ARCO_FLOW_WORKSPACE_ID": "default",
            # Below the workspace's folder, where the server may read tables too.
            "ARCO_FLOW_WORKER_WAREHOUSE": str(root / "tenant=local" / "workspace=default" / "warehouse"),
            "ARCO_FLOW_WORKER_CATALOG": CATALOG,
        }
        with _worker(targets, worker_port, worker_settings, root) as worker:
            _deploy(server, targets, terminal)
            terminal.say(f"server  {server.url}   (log {server.log})")
            terminal.say(f"worker  http://127.0.0.1:{worker_port}   (log {root / 'dev-worker.log'})")
            terminal.say("Ctrl-C stops both; files are deployed again when they change")
            terminal.say(f"tables  are registered as {CATALOG}.NAMESPACE.ASSET")
            elsewhere = "" if server.url == DEFAULT_URL else f" --url {server.url}"
            terminal.note(f"next, in another terminal:  arco run NAMESPACE.ASSET --upstream{elsewhere}")
            with contextlib.suppress(KeyboardInterrupt):
                _follow(server, worker, targets, terminal)
    return OK


def _found_here() -> list[str]:
    """The code of a project nobody named: `assets.py`, or the package `assets`."""
    for place in ("assets.py", "assets"):
        if Path(place).exists():
            return [place]
    raise CommandProblem(
        "there is no assets.py here", "make a project with: arco init, or name the code: arco dev CODE"
    )


def _deploy(server: ChildServer, targets: list[str], terminal: Terminal) -> None:
    """Deploy what the code says, in a process of its own: code that is loaded once cannot be loaded anew here."""
    done = subprocess.run(
        [sys.executable, "-m", "arco", "deploy", *targets, "--url", server.url],
        env=os.environ | {"ARCO_TENANT": "", "ARCO_WORKSPACE": "", "ARCO_TOKEN": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    told = (done.stdout if done.returncode == OK else done.stderr).strip().splitlines()
    for line in told[:_LINES_TOLD]:
        terminal.say(line)


def _follow(server: ChildServer, worker: "subprocess.Popen[bytes]", targets: list[str], terminal: Terminal) -> None:
    seen = _files(targets)
    while True:
        time.sleep(_LOOK_S)  # noqa: TID251  # a command in the real world
        if worker.poll() is not None:
            raise CommandProblem(f"the worker ended with code {worker.returncode}", "look in dev-worker.log for why")
        found = _files(targets)
        if found != seen:
            seen = found
            _deploy(server, targets, terminal)


def _files(targets: list[str]) -> frozenset[tuple[str, int, int]]:
    """The Python files of the project with their times and sizes."""
    folders = {Path(target) if Path(target).is_dir() else Path(target).parent for target in targets}
    files = [file for folder in folders for file in folder.rglob("*.py") if _is_code(file)]
    found = set()
    for file in files:
        with contextlib.suppress(OSError):
            facts = file.stat()
            found.add((str(file), facts.st_mtime_ns, facts.st_size))
    return frozenset(found)


def _is_code(file: Path) -> bool:
    return not any(part in _SKIPPED or part.startswith(".") for part in file.parts)


@contextmanager
def _worker(targets: list[str], port: int, settings: dict[str, str], root: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker with the project's code, which it loads anew when files change; stopped at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARCO_") and name != "PORT"}
    with (root / "dev-worker.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "arco", "worker", *targets, "--watch", "--port", str(port)],
            env=kept | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
