"""What the documentation says can be done: links lead somewhere, commands parse, code blocks are what they claim."""

import argparse
import base64
import hashlib
import importlib.util
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple
from zoneinfo import available_timezones

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from arco.cli.failures import Failure
from arco.cli.parser import build
from arco.config.problems import Problems
from arco.config.settings import load
from arco.domains.orchestration.plan.manifest import Manifest, problems_of
from arco.sdk.loading import load_assets
from arco.sdk.manifest import build_manifest

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "config").rglob("*.md")])
GENERATOR: Final = ROOT / "docs" / "reference" / "generate.py"
TEST_COMMAND: Final = (
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/python -m pytest -n auto"
)
DEMO_COMMAND: Final = "python3 -m venv .venv && .venv/bin/pip install -q '.[demo]' && .venv/bin/arco demo"

_LINK: Final = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_SHELLS: Final = {"sh", "bash", "console"}


class Block(NamedTuple):
    """A fenced code block: where it stands, its language, its text."""

    place: str
    language: str
    text: str


def test_every_link_leads_somewhere():
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in _LINK.findall(_prose(page))
        if not target.startswith(("http://", "https://", "mailto:")) and not _resolves(page, target)
    ]
    assert not broken, "\n" + "\n".join(broken)


def test_every_json_block_is_json():
    for block in _blocks("json"):
        try:
            json.loads(block.text)
        except ValueError as error:
            pytest.fail(f"{block.place}: {error}")


def test_every_toml_block_is_toml():
    for block in _blocks("toml"):
        try:
            tomllib.loads(block.text)
        except tomllib.TOMLDecodeError as error:
            pytest.fail(f"{block.place}: {error}")


def test_every_arco_command_in_the_documentation_parses(capsys: pytest.CaptureFixture[str]):
    wrong = [f"{place}: arco {shlex.join(words)}" for place, words in _arco_commands() if not _parses(build(), words)]
    assert not wrong, "\n" + "\n".join(wrong) + "\n" + capsys.readouterr().err


def test_the_python_of_the_guide_of_assets_runs_and_makes_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    guide = "\n\n".join(block.text for block in _blocks("python") if block.place.startswith("docs/assets.md"))
    assert guide.count("@asset") > 4
    (tmp_path / "the_guide_of_assets.py").write_text(guide, "utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])
    project = load_assets([str(tmp_path / "the_guide_of_assets.py")])
    monkeypatch.delitem(sys.modules, "the_guide_of_assets")
    built = build_manifest(project, tmp_path, tenant_id="acme", workspace_id="prod")
    assert problems_of(msgspec.json.decode(built.body, type=Manifest), available_timezones()) == []
    assert [one.id for one in project.schedules] == ["nightly"]


def test_python_is_shown_only_where_it_runs():
    assert {block.place.partition(":")[0] for block in _blocks("python")} == {"docs/assets.md"}


def test_the_readme_gives_one_command_for_the_demo_and_one_for_the_tests():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert DEMO_COMMAND in readme
    assert TEST_COMMAND in readme


def test_the_check_that_lands_changes_ends_with_the_tests_of_the_readme():
    lines = (ROOT / ".ci" / "run").read_text("utf-8").strip().splitlines()
    assert lines[-1] == TEST_COMMAND


def test_the_decisions_are_numbered_without_gaps():
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("name", sorted(path.stem for path in GENERATOR.parent.glob("*.md")))
def test_the_generated_reference_is_fresh(name: str):
    generated = _generator().PAGES[name]()
    page = GENERATOR.parent / f"{name}.md"
    assert page.read_text("utf-8") == generated, "stale: run nox -s reference"


def test_every_page_that_can_be_generated_is_there():
    assert set(_generator().PAGES) == {path.stem for path in GENERATOR.parent.glob("*.md")}


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_generator", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text("utf-8"))


def _resolves(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return False
    return not anchor or anchor in {_anchor(heading) for heading in _HEADING.findall(_prose(file))}


def _anchor(heading: str) -> str:
    """The anchor that forges give a heading: lower case, blanks to hyphens, punctuation gone."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _blocks(*languages: str) -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if match[1] in languages:
                yield Block(f"{page.relative_to(ROOT)}:{line}", match[1], match[2])


def _arco_commands() -> Iterator[tuple[str, list[str]]]:
    for block in _blocks(*_SHELLS):
        for line in block.text.replace("\\\n", " ").splitlines():
            yield from ((block.place, words) for words in _arco_words(line.strip()))


def _arco_words(line: str) -> Iterator[list[str]]:
    """The arguments of each `arco` call in a line of shell."""
    lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if not set(word) <= set("|&;<>"):
            words.append(word)
            continue
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        if words and words[0].rpartition("/")[2] == "arco":
            yield words[1:]
        words = []


def _parses(parser: argparse.ArgumentParser, words: list[str]) -> bool:
    try:
        parser.parse_args(words)
    except SystemExit as stop:
        return not stop.code  # --help and --version stop with 0
    except Failure:
        return False
    return True


@pytest.mark.parametrize("role", ["all", "api", "compactor"])
def test_the_configuration_examples_are_complete_and_without_a_problem(role: str):
    example = ROOT / "config" / ("local.env" if role == "all" else f"{role}.env")
    loaded = load(role, _environment(example), _secret)
    assert not isinstance(loaded, Problems), loaded.text()
    assert not loaded.warnings


def _environment(example: Path) -> dict[str, str]:
    """The variables of an example, with a plain word wherever it leaves a choice."""
    lines = [line for line in example.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    pairs = (line.partition("=") for line in lines)
    return {name: re.sub(r"<[a-z-]+>", "example", value) for name, _, value in pairs}


def _secret(path: str) -> str:
    """What the file that an example names could hold: a public key, or 32 bytes of their own in base64."""
    if path.endswith(".pem"):
        key = rsa.generate_private_key(65_537, 2_048)
        return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return base64.b64encode(hashlib.sha256(path.encode()).digest()).decode()
