"""Assets of every kind that a worker must cope with."""

import ctypes
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from arco import Context, TaskFailed, asset, daily

LOADED_AT = time.time_ns()


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@asset(namespace="t")
def noop() -> None:
    """Does nothing."""


@asset(namespace="t")
def prints(context: Context) -> None:
    print("to output ☃")
    print("to errors", file=sys.stderr)
    os.write(1, b"straight to the descriptor\n")
    subprocess.run(["echo", "from a process of its own"], check=True)
    context.log.info("a line of the log", rows=3)
    sys.stdout.write("no line end")


@asset(namespace="t")
def prints_much(context: Context) -> None:
    for number in range(60_000):
        print(f"line {number:06d} of many, each of them thirty-nine chars")


@asset(namespace="t")
def boom() -> None:
    print("before the boom")
    raise ValueError("boom: 5 is not 6")


@asset(namespace="t")
def refuses() -> None:
    raise TaskFailed("never again", retryable=False)


@asset(namespace="t")
def leaves() -> None:
    sys.exit(0)


@asset(namespace="t")
def leaves_hard() -> None:
    sys.stdout.write("last words")
    os._exit(0)


@asset(namespace="t")
def crashes() -> None:
    sys.stdout.write("last words")
    ctypes.string_at(0)


@asset(namespace="t")
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@asset(namespace="t")
def greedy() -> None:
    found = [bytearray(64 * 1024 * 1024) for _ in range(64)]
    print(len(found))


@asset(namespace="t")
def sleeps(context: Context) -> None:
    context.progress(40, "asleep")
    pause(600)


@asset(namespace="t")
def sleeps_deaf() -> None:
    """Does not hear that it should end: the signal is blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    print("deaf", flush=True)
    pause(600)


@asset(namespace="t")
def ends_soon(context: Context) -> None:
    """Comes to an end of its own when it is asked to."""
    while not context.cancelled:
        try:
            pause(0.01)
        except KeyboardInterrupt:
            break


@asset(namespace="t")
def waits(context: Context) -> None:
    """Until the file in its payload is there."""
    place = Path(context.payload["file"])
    while not place.exists():
        pause(0.01)


@asset(namespace="t")
def forks() -> None:
    """Leaves a process and a thread behind."""
    process = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
    print("left", process.pid)
    threading.Thread(target=pause, args=(600,), daemon=True).start()


@asset(namespace="t")
def whoami(context: Context) -> None:
    print(
        f"pid={os.getpid()} loaded={LOADED_AT} secrets={sorted(n for n in os.environ if 'SECRET' in n or 'KEY' in n)}"
    )
    print("mine" if os.environ.get("MY_OWN_SETTING") else "none")


@asset(namespace="t", partitions=daily())
def of_a_day(context: Context, date: Any) -> None:
    print(f"the day is {date.isoformat()}")


@asset(namespace="t")
def spoils() -> None:
    """Changes everything that the next task stands on."""
    os.environ["MY_OWN_SETTING"] = "spoilt"
    os.chdir("/")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout = io.StringIO()
    os.close(2)


@asset(namespace="t")
def stands() -> None:
    print(os.environ.get("MY_OWN_SETTING"), os.getcwd() != "/", file=sys.stderr)


@asset(namespace="t")
def reports_nonsense(context: Context) -> None:
    os.closerange(3, 20)
    pause(600)


@asset(namespace="t")
def talks(context: Context) -> None:
    """Says something before and after the file in its payload is there, some of it without an end of line."""
    place = Path(context.payload["file"])
    print("before, without an end of line", end="")
    os.write(2, b"and to errors")
    while not place.exists():
        pause(0.01)
    print("after")
