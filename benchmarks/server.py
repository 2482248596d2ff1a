"""A real arco server in a process of its own, and what the operating system says of it."""

import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PLACE = re.compile(r"(?:^|\s)(api|compactor) http://127\.0\.0\.1:(\d+)")


class Server:
    """`arco serve` on any free port; `ready_s` is from the start of the process to its ready line.

    `role` runs one role alone, `environ` adds variables, `command` runs another program that announces itself so.
    """

    def __init__(
        self,
        storage: Path | None = None,
        *,
        role: str | None = None,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._command = list(command or [sys.executable, "-m", "arco", "serve", "--port", "0"])
        self._command += ["--storage", str(storage)] if storage else []
        self._command += ["--role", role] if role else []
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self.compactor_port = 0
        self.ready_s = 0.0

    def __enter__(self) -> Self:
        began = time.perf_counter()
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self._environ
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.ready_s = time.perf_counter() - began
        # A server whose log nobody reads stops as soon as the pipe is full.
        threading.Thread(target=deque, args=(self._process.stdout, 0), daemon=True).start()
        places = dict(_PLACE.findall(line))
        if not places:
            raise RuntimeError(f"the server did not start: {line}")
        self.port, self.compactor_port = int(places.get("api", 0)), int(places.get("compactor", 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    def status(self, field: str) -> int:
        """A figure of /proc/PID/status in kB."""
        assert self._process is not None
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith(field + ":")))

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    @property
    def peak_mb(self) -> float:
        """The most memory it has had, in MB."""
        return self.status("VmHWM") / 1000

    @property
    def rss_mb(self) -> float:
        """Resident memory in MB."""
        return self.status("VmRSS") / 1000

    def cpu_s(self) -> float:
        """Processor seconds used so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100
