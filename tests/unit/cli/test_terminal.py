import io
import json

from arco.cli.failures import Failure
from arco.cli.render import Table
from arco.cli.terminal import Terminal


class Screen(io.StringIO):
    def isatty(self):
        return True


def a_terminal(out=None, err=None, **settings):
    return Terminal(out=out or io.StringIO(), err=err or io.StringIO(), environ=settings.pop("environ", {}), **settings)


def test_a_failure_is_what_happened_and_what_to_do_next():
    terminal = a_terminal()
    terminal.fail(Failure(1, "Table not found: a.b.c", "see what there is: arco catalog ls"))
    assert terminal.err.getvalue() == ("error: Table not found: a.b.c\nnext:  see what there is: arco catalog ls\n")
    assert terminal.out.getvalue() == ""


def test_with_json_a_failure_is_one_document_on_stdout():
    terminal = a_terminal(as_json=True)
    failure = Failure(1, "Table not found: a.b.c", "look", code="NOT_FOUND")
    failure.request_id = "r1"
    terminal.fail(failure)
    assert json.loads(terminal.out.getvalue()) == {
        "error": {"code": "NOT_FOUND", "message": "Table not found: a.b.c", "next": "look", "request_id": "r1"}
    }


def test_with_json_nothing_for_people_is_written_to_stdout():
    terminal = a_terminal(as_json=True)
    terminal.say("hello")
    terminal.table(Table(["a"], [[1]]), "1 row")
    assert terminal.out.getvalue() == ""


def test_there_are_no_escape_sequences_without_a_terminal():
    terminal = a_terminal()
    terminal.table(Table(["a"], [[1]]), "1 row")
    assert terminal.out.getvalue() == "a\n─\n1\n1 row\n"


def test_a_terminal_gets_colours_unless_no_color_is_set():
    colourful, plain = Screen(), Screen()
    a_terminal(out=colourful).table(Table(["a"], [[1]]))
    a_terminal(out=plain, environ={"NO_COLOR": "1"}).table(Table(["a"], [[1]]))
    assert "\x1b[1m" in colourful.getvalue()
    assert "\x1b" not in plain.getvalue()


def test_a_short_step_is_silent_and_a_kept_one_leaves_a_line():
    terminal = a_terminal()
    with terminal.step("asking"):
        pass
    assert terminal.err.getvalue() == ""
    with terminal.step("writing", keep=True) as relabel:
        relabel("wrote 5 tables")
    assert terminal.err.getvalue().startswith("✓ wrote 5 tables  (0.")


def test_a_failed_step_leaves_no_line():
    terminal = a_terminal()
    try:
        with terminal.step("writing", keep=True):
            raise ValueError
    except ValueError:
        pass
    assert terminal.err.getvalue() == ""


def test_a_stream_that_cannot_encode_a_character_gets_a_replacement():
    raw = io.BytesIO()
    terminal = a_terminal(out=io.TextIOWrapper(raw, encoding="ascii"))
    terminal.say("東")
    assert raw.getvalue() == b"?\n"


def test_what_is_noted_during_a_step_has_a_line_of_its_own_above_the_progress(monkeypatch):
    monkeypatch.setattr("arco.cli.terminal.QUIET_S", 0.0)
    monkeypatch.setattr("arco.cli.terminal._FRAME_S", 0.001)
    screen = Screen()
    terminal = a_terminal(err=screen)
    with terminal.step("running"):
        while "running" not in screen.getvalue():
            pass
        terminal.note("one failed")
        told = len(screen.getvalue())
        while len(screen.getvalue()) == told:
            pass
    before, _, after = screen.getvalue().partition("one failed\n")
    assert before.endswith("\r\x1b[2K")
    assert "running" in before and "running" in after
    assert screen.getvalue().endswith("\r\x1b[2K")


def test_progress_says_what_is_so_at_the_moment_below_the_lines_and_nothing_without_a_terminal(monkeypatch):
    monkeypatch.setattr("arco.cli.terminal.QUIET_S", 0.0)
    monkeypatch.setattr("arco.cli.terminal._FRAME_S", 0.001)
    screen, told = Screen(), iter(range(1_000_000))
    terminal = a_terminal(out=screen, err=screen)
    with terminal.progress(lambda: f"{next(told)} done"):
        while "3 done" not in screen.getvalue():
            pass
        terminal.say("a task failed")
    assert "\r\x1b[2Ka task failed\n" in screen.getvalue()
    assert screen.getvalue().endswith(("\r\x1b[2K", "a task failed\n"))
    quiet = a_terminal()
    with quiet.progress(lambda: "never asked"):
        pass
    assert quiet.err.getvalue() == ""
