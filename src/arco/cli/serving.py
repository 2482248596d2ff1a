"""What commands that serve share: failures of their children in words, and a project deployed as its files change."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from arco.cli.failures import OK, CommandProblem
from arco.cli.render import counted, cut
from arco.cli.terminal import Terminal
from arco.clients.project import Client
from arco.core.errors import ArcoError
from arco.core.waiting import pause_s
from arco.demo.processes import ChildFailed, PortTaken
from arco.demo.site import TENANT, WORKSPACE, Running
from arco.worker.code_files import HEADER, state_of

_LOOK_S: Final = 0.25
_LOOKS_MAX: Final = 80
"""20 s: a worker that takes longer has other trouble, which its log and its tasks tell of."""

_LINES_TOLD: Final = 12
_RUNS_MAX: Final = 20
_NAMES_WIDTH: Final = 90


@contextmanager
def told_of_children() -> Iterator[None]:
    """A child that cannot be started, or that ended, as a problem of the command."""
    try:
        yield
    except PortTaken as taken:
        raise CommandProblem(taken.message, "name another with --port, or leave --port out for any free one") from taken
    except ChildFailed as failed:
        raise CommandProblem(failed.message, f"its log is {failed.details['log']}; then: arco doctor") from failed


class Deploying:
    """Deploys a project to a server, now and whenever a file of it is another one; says so.

    In a process of its own each time: code that is loaded once cannot be loaded anew. `project` is the folder that
    keeps the ids of assets.
    """

    def __init__(
        self, code: Sequence[str], children: Running, terminal: Terminal, *, project: Path | None = None
    ) -> None:
        self._code = code
        self._children = children
        self._terminal = terminal
        self._project = project or Path()
        self._seen = state_of(code)
        self.next = "arco run NAMESPACE.ASSET --upstream"
        """A command that runs something of what was deployed last."""

    def deploy(self) -> bool:
        """Deploy what the code says; what is wrong with it is shown, and nothing else changes."""
        done = subprocess.run(
            [sys.executable, "-m", "arco", "deploy", *self._code, "--url", self._children.server.url, "--json"],
            cwd=self._project,
            env=os.environ | {"ARCO_TENANT": "", "ARCO_WORKSPACE": "", "ARCO_TOKEN": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == OK:
            told: dict[str, Any] = json.loads(done.stdout)
            self.next = told["next"]
            names = cut(", ".join(told["assets"]), _NAMES_WIDTH)
            self._terminal.say(f"deployed {counted(told['assetCount'], 'asset')}: {names}")
        for line in done.stderr.strip().splitlines()[-_LINES_TOLD:] if done.returncode != OK else ():
            self._terminal.note(line)
        return done.returncode == OK

    def follow(self) -> None:
        """Deploy again and again until interrupted. Raises `ChildFailed` when server or worker has ended."""
        while True:
            self._look_away()
            found = state_of(self._code)
            if found != self._seen:
                self._seen = found
                self._await_worker(found)
                if self.deploy():
                    self._try_again()

    def _await_worker(self, state: str) -> None:
        """Who reads that something is deployed and runs it gets this code, not the one before."""
        for _ in range(_LOOKS_MAX):
            if self._children.worker.says(HEADER) == state:
                return
            self._look_away()

    def _try_again(self) -> None:
        """What failed and waits for its next attempt has that now: most likely the code was changed because of it."""
        client = Client(self._children.server.url, tenant=TENANT, workspace=WORKSPACE)
        try:
            for run_id, task_key in _waiting(client):
                client.retry(run_id, task_key)
                self._terminal.say(f"{task_key} of run {run_id} is tried again with it")
        except ArcoError as error:  # it is tried again in its own time all the same
            self._terminal.note(f"nothing is tried again before its time: {error.message}")
        finally:
            client.close()

    def _look_away(self) -> None:
        pause_s(_LOOK_S)
        self._children.check()


def _waiting(client: Client) -> Iterator[tuple[str, str]]:
    """Run and key of the tasks that wait for their next attempt, in the newest runs."""
    for run in islice(client.runs(state="RUNNING"), _RUNS_MAX):
        for task in client.run(run["runId"])["tasks"]:
            if task["state"] == "PENDING" and "retryNotBefore" in task:
                yield run["runId"], task["taskKey"]
