"""`arco dev`: server and worker of a project in one terminal, with its code as it changes."""

import contextlib
from argparse import Namespace
from pathlib import Path

from arco.cli.failures import OK, CommandProblem
from arco.cli.serving import Deploying, told_of_children
from arco.cli.terminal import Terminal
from arco.clients.api import DEFAULT_URL
from arco.demo.processes import interruptible
from arco.demo.site import Running, Site, project_running


def dev(args: Namespace, terminal: Terminal) -> int:
    """Start a server and a worker, deploy the project, and deploy it again whenever its files change."""
    code = args.target or _found_here()
    root = Path(args.storage or ".arco").resolve()
    site = Site(code=code, root=root, catalog=args.catalog, name="dev", port=args.port)
    with told_of_children(), interruptible(), project_running(site) as children:
        with terminal.step("starting server and worker", keep=True) as relabel:
            children.server.wait_ready()
            children.worker.wait_ready()
            relabel("server and worker are ready")
        deploying = Deploying(code, children, terminal)
        deploying.deploy()
        _tell(children, deploying, args.catalog, terminal)
        with contextlib.suppress(KeyboardInterrupt):
            deploying.follow()
        terminal.note("\nstopping")
    return OK


def _found_here() -> list[str]:
    """The code of a project nobody named: `assets.py`, or the package `assets`."""
    for place in ("assets.py", "assets"):
        if Path(place).exists():
            return [place]
    raise CommandProblem(
        "there is no assets.py here", "make a project with: arco init, or name the code: arco dev CODE"
    )


def _tell(children: Running, deploying: Deploying, catalog: str, terminal: Terminal) -> None:
    server, worker = children.server, children.worker
    terminal.say(f"server  {server.url}   (log {server.log})")
    terminal.say(f"worker  {worker.url}   (log {worker.log})")
    terminal.say(f"tables  {catalog}.NAMESPACE.ASSET")
    terminal.say("Ctrl-C stops both; files are deployed again when they change")
    elsewhere = "" if server.url == DEFAULT_URL else f" --url {server.url}"
    terminal.note(f"next, in another terminal:  {deploying.next}{elsewhere}")
