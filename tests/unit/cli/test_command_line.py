import json
import os
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from arco.cli import parser
from arco.cli.demo import program
from arco.cli.main import main
from arco.cli.query import as_of_text
from arco.cli.server import port_overrides, serve_overrides

NEVER_FOR_HELP = ("pyarrow", "starlette", "asyncio", "msgspec", "http.client", "deltalake", "datafusion")


def every_parser(root):
    yield root
    for action in root._actions:
        if hasattr(action, "choices") and isinstance(action.choices, dict):
            for child in action.choices.values():
                yield from every_parser(child)


def test_help_imports_nothing_slow():
    program = "import sys; from arco.cli.main import main; main(['--help'])"
    listing = f"print([name for name in {NEVER_FOR_HELP!r} if name in sys.modules])"
    environ = {**os.environ, "PYTHONPATH": str(Path(parser.__file__).parents[2])}
    command = [sys.executable, "-c", f"{program}; {listing}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_has_a_description_and_names_a_function_that_exists():
    commands = [child for child in every_parser(parser.build()) if child.get_default("run")]
    assert len(commands) >= 15
    for command in commands:
        module, _, function = command.get_default("run").partition(":")
        assert callable(getattr(import_module(module), function)), command.prog
        assert command.description, command.prog


def test_the_help_of_arco_lists_every_command_once():
    named = [name for names in parser.GROUPS.values() for name in names]
    commands = {child.prog.removeprefix("arco ").split()[0] for child in every_parser(parser.build())} - {"arco"}
    assert sorted(named) == sorted(commands)
    listed = parser.build().format_help()
    for name in named:
        assert f"\n  {name} " in listed


def test_every_command_that_does_something_teaches_by_example():
    for command in every_parser(parser.build()):
        if command.prog not in ("arco version", "arco"):
            assert "examples:" in command.epilog, command.prog


def test_every_example_of_every_help_is_a_valid_command_line():
    built = parser.build()
    for command in every_parser(built):
        for line in (command.epilog or "").splitlines():
            if line.startswith("  arco ") and "COMMAND" not in line:
                words = shlex.split(line.split("   ")[0].split("  #")[0].strip().split(" | ")[0].split(" < ")[0])[1:]
                words = words[: words.index(">")] if ">" in words else words
                assert built.parse_args(words), line


def test_no_command_prints_the_help_and_succeeds(capsys):
    assert main([]) == 0
    assert "start here:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["serve", "--port", "70000"],
        ["serve", "--role", "cook"],
        ["catalog"],
        ["catalog", "ls", "--limit", "0"],
        ["query"],
        ["lineage", "a.b.c", "--direction", "sideways"],
    ],
)
def test_a_usage_error_is_two_lines_and_exit_code_2(argv, capsys):
    assert main(argv) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("next:  read arco")
    assert len(lines) == 2


@pytest.mark.parametrize("argv", [["catalog", "show", "--json"], ["nonsense", "--json"]])
def test_a_usage_error_with_json_is_a_document_too(argv, capsys):
    assert main(argv) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "USAGE"


def test_a_proof_of_nothing_is_a_problem(tmp_path, capsys):
    assert main(["verify", "--storage", str(tmp_path / "nowhere")]) == 1
    assert "nothing to verify" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31 18:00:00", "2026-01-31T18:00:00Z"),
        ("2026-01-31T18:00:00+01:00", "2026-01-31T18:00:00+01:00"),
        ("12", "12"),
        (None, None),
    ],
)
def test_a_time_without_a_zone_is_utc(given, asked):
    assert as_of_text(given) == asked


def test_the_demo_names_the_program_as_it_was_started(tmp_path, monkeypatch):
    executable = tmp_path / "arco"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    assert program(str(executable)) == str(executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program(str(executable)) == "arco"
    assert program("/site-packages/arco/__main__.py").endswith("-m arco")


def test_a_wrong_name_is_a_usage_error_too(capsys):
    assert main(["catalog", "show", "a..b"]) == 2
    assert capsys.readouterr().err.startswith("error: 'a..b' is not a name: a part is empty\nnext:  write catalog")


def test_a_table_is_registered_and_not_created(capsys):
    assert main(["catalog", "create", "a.b.c"]) == 2
    assert "arco catalog register a.b.c --location PATH" in capsys.readouterr().err


def test_a_rename_stays_in_its_place(capsys):
    assert main(["catalog", "rename", "a.b.c", "a.x.c"]) == 2
    assert "'a.x.c' is not in the same place as 'a.b.c'" in capsys.readouterr().err


def test_a_point_in_time_and_data_contradict(capsys):
    assert main(["query", "SELECT 1", "--data", "--as-of", "1"]) == 2
    assert "--as-of asks the catalog's own relations" in capsys.readouterr().err


def test_json_and_another_format_contradict(capsys):
    assert main(["query", "SELECT 1", "--json", "--format", "csv"]) == 2
    assert "contradict" in capsys.readouterr().err


def test_a_server_url_that_is_none_is_a_usage_error(capsys):
    assert main(["catalog", "ls", "--url", "ftp://nowhere"]) == 2
    assert "must look like http://127.0.0.1:8080" in capsys.readouterr().err


def test_the_demo_writes_to_local_disk_only(capsys):
    assert main(["demo", "--storage", "gs://bucket"]) == 1
    assert "--storage ./lake" in capsys.readouterr().err


def test_version_is_one_line_and_with_json_names_the_parts(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("arco ")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("arco ")
    assert main(["version", "--json"]) == 0
    assert '"pyarrow"' in capsys.readouterr().out


def test_a_port_moves_all_roles_unless_a_variable_places_them():
    assert port_overrides(9000, {"ARCO_FLOW_COMPACTOR_PORT": "7000"}) == {
        "ARCO_HTTP_PORT": "9000",
        "ARCO_COMPACTOR_PORT": "9001",
        "ARCO_FLOW_DISPATCHER_PORT": "9003",
        "ARCO_FLOW_SWEEPER_PORT": "9004",
    }
    assert set(port_overrides(0, {}).values()) == {"0"}


def test_serve_turns_flags_into_the_variables_they_stand_for():
    args = parser.build().parse_args(
        ["serve", "--role", "compactor", "--host", "::1", "--port", "9", "--storage", "gs://b"]
    )
    assert serve_overrides(args, {}) == {"PORT": "9", "ARCO_HOST": "::1", "ARCO_STORAGE_BUCKET": "gs://b"}
    assert serve_overrides(parser.build().parse_args(["serve"]), {}) == {}
