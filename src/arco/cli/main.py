"""The `arco` command: parse, import the one command that was asked for, run it, turn failures into exit codes."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, cast

from arco.cli import parser
from arco.cli.failures import INTERRUPTED, OK, PROBLEM, Failure, failure_of

if TYPE_CHECKING:
    from arco.cli.terminal import Terminal


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0 ok, 1 problem, 2 usage, 3 server unreachable."""
    try:
        return _guarded(sys.argv[1:] if argv is None else argv)
    except SystemExit as stop:  # argparse ends --help and usage errors this way
        return stop.code if isinstance(stop.code, int) else PROBLEM
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough; flushing at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _guarded(argv: Sequence[str]) -> int:
    built = parser.build()
    try:
        args = built.parse_args(argv)
    except Failure as misuse:
        _terminal(as_json="--json" in argv).fail(misuse)  # what was parsed until then is not known
        return misuse.exit_code
    if args.version:
        args.run, args.json = "arco.cli.server:short_version", False
    elif args.command is None:
        built.print_help()
        return OK
    terminal = _terminal(as_json=getattr(args, "json", False))
    try:
        return _command(args.run)(args, terminal)
    except BrokenPipeError:
        raise
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        terminal.fail(failure)
        return failure.exit_code


def _terminal(*, as_json: bool) -> "Terminal":
    from arco.cli.terminal import Terminal  # noqa: PLC0415  # 20 ms, which `--help` does without

    return Terminal(environ=os.environ, as_json=as_json)


def _command(target: str) -> "Callable[[Namespace, object], int]":
    module, _, function = target.partition(":")
    return cast("Callable[[Namespace, object], int]", getattr(import_module(module), function))
