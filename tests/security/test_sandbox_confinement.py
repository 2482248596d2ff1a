"""What a sandbox child has given up, tried from inside of one; and generated SQL that finds no way out of it."""

import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fuzz import sql

from arco.query.confine import confine

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system-call filter is Linux'")


def _in_a_child(act: Callable[[], object], *, strict: bool) -> int:
    """How a confined child ends that does this: 0 when it may, 13 when it is told no, below zero when it is killed."""
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            if not confine(parent, strict=strict):
                os._exit(77)
            act()
            os._exit(0)
        except OSError as error:
            os._exit(13 if error.errno == 13 else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _a_thread() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


FORBIDDEN: list[tuple[str, Callable[[], object]]] = [
    ("write a file", lambda: Path("/tmp/arco-never").write_text("x", "utf-8")),
    ("make a socket", socket.socket),
    ("fork", os.fork),
    ("start a program", lambda: os.execv("/bin/true", ["true"])),
    ("remove a file", lambda: os.unlink("/tmp/arco-never")),
    ("make a folder", lambda: os.mkdir("/tmp/arco-never")),
    ("kill its parent", lambda: os.kill(os.getppid(), 0)),
]


@LINUX
@pytest.mark.parametrize(("what", "act"), FORBIDDEN, ids=[what for what, _ in FORBIDDEN])
def test_a_child_is_told_no_and_a_strict_one_is_ended(what, act):
    assert _in_a_child(act, strict=False) == 13
    assert _in_a_child(act, strict=True) == -31


@LINUX
def test_a_child_can_open_no_file_for_reading_and_make_threads():
    assert _in_a_child(lambda: Path("/etc/passwd").read_text("utf-8"), strict=True) == 13
    assert _in_a_child(_a_thread, strict=True) == 0


@LINUX
def test_generated_sql_is_refused_or_only_reads():
    totals = sql.run(first_seed=7, statements=500)
    assert sum(totals.values()) == 500
    assert not [outcome for outcome in totals if outcome.startswith("VIOLATION")]
    assert totals["answered"] > 20
