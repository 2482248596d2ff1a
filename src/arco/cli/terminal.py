"""Where a command writes: results on stdout, progress and failures on stderr, colours only for people.

Guarantees: with `--json` stdout holds one JSON document and nothing else; a step that takes more than a second
is announced on stderr; escape sequences are sent only to a terminal, and never when `NO_COLOR` is set.
"""

import contextlib
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Final

from arco.cli.failures import Failure
from arco.cli.render import Table, cut, visible

QUIET_S: Final = 1.0
"""A step is silent for this long before its progress shows."""

_FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_S: Final = 0.1
_FRAME_WIDTH: Final = 4
_WIDTH_WITHOUT_SIZE: Final = 100
_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


class Terminal:
    """The two output streams of one command."""

    def __init__(
        self,
        *,
        out: IO[str] | None = None,
        err: IO[str] | None = None,
        environ: Mapping[str, str] | None = None,
        as_json: bool = False,
    ) -> None:
        self.out = out if out is not None else sys.stdout
        self.err = err if err is not None else sys.stderr
        self.as_json = as_json
        plain = bool(environ and (environ.get("NO_COLOR") or environ.get("TERM") == "dumb"))
        self._colour_out = self.out.isatty() and not plain
        self._colour_err = self.err.isatty() and not plain
        self._live = self.err.isatty() and not (environ and environ.get("TERM") == "dumb")
        self._watch: _Watch | None = None

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None when stdout is not one."""
        return shutil.get_terminal_size((_WIDTH_WITHOUT_SIZE, 24)).columns if self.out.isatty() else None

    def say(self, text: str = "") -> None:
        """A line of the result, for people; nothing with `--json`."""
        if not self.as_json:
            with self._aside():
                self._write(self.out, text + "\n")

    def write(self, text: str) -> None:
        """A part of the result as it is, with `--json` too: for results that come bit by bit."""
        self._write(self.out, text)

    def table(self, table: Table, below: str = "") -> None:
        """A table and the line below it, for people; nothing with `--json`."""
        if self.as_json:
            return
        header, rule, *rows = table.lines(self.width)
        lines = [self.styled(header, "bold"), self.styled(rule, "dim"), *rows]
        if below:
            lines.append(self.styled(below, "dim"))
        with self._aside():
            self._write(self.out, "\n".join(lines) + "\n")

    def document(self, value: Any) -> None:
        """The one JSON document of a `--json` command."""
        self._write(self.out, json.dumps(value, ensure_ascii=False, indent=2) + "\n")

    def note(self, text: str) -> None:
        """A line about the work, on stderr; the progress of a step goes on below it."""
        with self._aside():
            self._write(self.err, text + "\n")

    def fail(self, failure: Failure) -> None:
        """What happened and what to do next, on stderr; with `--json` also as the document."""
        label = "\x1b[31merror:\x1b[0m" if self._colour_err else "error:"
        request = f" (request {failure.request_id})" if failure.request_id else ""
        self.note(f"{label} {visible(failure.message)}{visible(request)}")
        self.note(f"next:  {visible(failure.advice)}")
        if self.as_json:
            facts = {"code": failure.code, "message": failure.message, "next": failure.advice}
            self.document({"error": facts | ({"request_id": failure.request_id} if failure.request_id else {})})

    def styled(self, text: str, style: str) -> str:
        """`text` in a style, when stdout shows styles."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._colour_out else text

    @contextmanager
    def step(self, label: str, *, keep: bool = False) -> Iterator[Callable[[str], None]]:
        """A piece of work with its progress on stderr; the yielded function changes the label.

        Silent for the first second; `keep` leaves one line with the time it took, however short.
        """
        labels = [label]
        started = time.perf_counter()
        with self._watched(_Watch(self.err, lambda: labels[-1], live=self._live)):
            yield labels.append
        if keep:
            mark = "\x1b[32m✓\x1b[0m" if self._colour_err else "✓"
            self.note(f"{mark} {labels[-1]}  ({time.perf_counter() - started:.1f} s)")

    @contextmanager
    def progress(self, label: Callable[[], str]) -> Iterator[None]:
        """A piece of work that tells of itself line by line; below them, on a terminal, what `label` says just now."""
        if self._live:
            with self._watched(_Watch(self.err, label, live=True)):
                yield
        else:
            yield

    @contextmanager
    def _watched(self, watch: "_Watch") -> Iterator[None]:
        self._watch = watch
        watch.start()
        try:
            yield
        finally:
            watch.stop()
            self._watch = None

    def _aside(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._watch is None else self._watch.aside()

    def _write(self, stream: IO[str], text: str) -> None:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = getattr(stream, "encoding", None) or "ascii"
            stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()


class _Watch:
    """Tells of a step that takes long: a spinner on a terminal, one plain line elsewhere."""

    def __init__(self, stream: IO[str], label: Callable[[], str], *, live: bool) -> None:
        self._label = label
        self._stream = stream
        self._live = live
        self._shown = False
        self._turn = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arco-progress", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While somebody else writes: the progress gives way, and goes on below."""
        with self._turn:
            self._clear()
            yield

    def _run(self) -> None:
        if self._done.wait(QUIET_S):
            return
        if not self._live:
            with self._turn:
                self._stream.write(f"{self._label()} …\n")
                self._stream.flush()
            return
        begun = time.perf_counter() - QUIET_S
        frame = 0
        while not self._done.wait(_FRAME_S):
            frame = (frame + 1) % len(_FRAMES)
            told = f"{visible(self._label())}  {time.perf_counter() - begun:.0f} s"
            # A line that is wrapped could not be taken back.
            width = shutil.get_terminal_size((_WIDTH_WITHOUT_SIZE, 24)).columns - _FRAME_WIDTH
            with self._turn:
                self._clear()
                self._stream.write(f"{_FRAMES[frame]} {cut(told, width)}")
                self._stream.flush()
                self._shown = True
        with self._turn:
            self._clear()

    def _clear(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._shown = False
