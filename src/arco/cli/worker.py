"""`arco worker`: thin; the worker's room does the work."""

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Final

from arco.cli.failures import OK, CommandProblem, UsageProblem
from arco.cli.terminal import Terminal
from arco.config.problems import EXIT_CODE, Problems
from arco.config.worker import load_worker
from arco.worker import server
from arco.worker.children import CodeBroken

_FLAGS: Final = {
    "api": "ARCO_FLOW_API_URL",
    "tenant": "ARCO_FLOW_TENANT_ID",
    "workspace": "ARCO_FLOW_WORKSPACE_ID",
    "host": "ARCO_FLOW_WORKER_HOST",
    "port": "PORT",
    "slots": "ARCO_FLOW_WORKER_SLOTS",
}


def worker(args: Namespace, terminal: Terminal) -> int:
    """Run a worker until it is told to stop."""
    settings = load_worker(worker_environment(args, os.environ), _read_file)
    if isinstance(settings, Problems):
        sys.stderr.write(settings.text())
        return EXIT_CODE
    targets = tuple(args.target) or settings.targets
    if not targets:
        raise UsageProblem(
            "a worker needs to know the code it runs", "name a module, a package or a file: arco worker assets.py"
        )
    try:
        server.run(settings, server.Hand(targets=targets, watch=args.watch))
    except CodeBroken as broken:
        what, _, trace = broken.message.partition("\n")
        sys.stderr.write(trace)
        raise CommandProblem(f"the code cannot be loaded: {what}", "mend it, and start again") from None
    return OK


def worker_environment(args: Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with what the flags say in place of their variables."""
    given = {name: getattr(args, flag) for flag, name in _FLAGS.items() if getattr(args, flag) is not None}
    return {**environ, **{name: str(value) for name, value in given.items()}}


def _read_file(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
