"""Emulators as processes of their own, on free ports, for the length of a block."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BUCKET = "lake"
AWS_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Emulator:
    """An emulated store and what tests may tell it."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    def control(self, what: str, **fields: Any) -> Any:
        """Tell the emulator something that is not of the provider's API."""
        request = urllib.request.Request(f"{self.endpoint}/control/{what}", json.dumps(fields).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def fault(self, do: str, match: str = "", **fields: Any) -> None:
        """Order a fault for the next request whose method and target match."""
        self.control("faults", do=do, match=match, **fields)

    def requests(self) -> list[list[str]]:
        """Method, path and query of every request since this was last asked."""
        found: list[list[str]] = self.control("requests")["requests"]
        return found


@contextmanager
def a_gcs() -> Iterator[Emulator]:
    """A Cloud Storage with one empty bucket."""
    with _running("tests.emulators.gcs") as emulator:
        emulator.control("buckets", name=BUCKET)
        yield emulator


@contextmanager
def an_s3() -> Iterator[Emulator]:
    """An S3 with one empty bucket; `AWS_VARIABLES` are the credentials it takes."""
    with _running("tests.emulators.s3") as emulator:
        request = urllib.request.Request(f"{emulator.endpoint}/{BUCKET}", method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
        yield emulator


class CloudTasks(Emulator):
    """A Cloud Tasks: its own port is for control, `target` is where clients connect without TLS."""

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.control('where')['grpc']}"


@contextmanager
def a_cloud_tasks() -> Iterator[CloudTasks]:
    """A Cloud Tasks without queues; its time runs as fast as `control("settings", pace=...)` says."""
    with _running("tests.emulators.cloud_tasks") as emulator:
        yield CloudTasks(int(emulator.endpoint.rpartition(":")[2]))


@contextmanager
def _running(module: str) -> Iterator[Emulator]:
    # It ends with its standard input, so also when the tests are killed.
    process = subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        word, _, port = process.stdout.readline().partition(" ")
        assert word == "port"
        yield Emulator(int(port))
    finally:
        process.stdin.close()
        process.stdout.close()
        process.terminate()
        process.wait(20)
