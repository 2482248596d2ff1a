"""`arco gc | reconcile | repair | retention` on the folder of a server that has stopped, and of one that runs."""

import asyncio
import json
from pathlib import Path

import pytest

from arco.cli.main import main

from .world import a_world, in_files, on_disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    async def written() -> None:
        async with a_world(storage=in_files(tmp_path)) as world:
            async with world.client() as api:
                for number in range(5):
                    assert (await api.post("/catalogs", json={"name": f"c{number}"})).status_code == 201
            await world.quiet()

    asyncio.run(written())
    return tmp_path


def run(folder: Path, *words: str) -> int:
    return main([*words, "--storage", on_disk(folder)])


def document(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    code = run(folder, *words, "--json")
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return code, found


def test_a_collection_looks_first_and_says_what_to_do_next(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "gc") == 0
    seen = capsys.readouterr()
    assert "0 versions due" in seen.out and "nothing was deleted" in seen.err
    code, done = document(folder, capsys, "gc", "--apply", "--walk", "--policy", "development")
    assert code == 0 and done["objects"] == 0, "everything is young"
    assert run(folder, "verify") == 0


def test_a_version_is_pinned_listed_and_released(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, pin = document(folder, capsys, "retention", "pin", "2", "--reason", "audit", "--ttl-hours", "1")
    assert (code, pin["number"], pin["owner"]) == (0, 2, "cli")
    assert run(folder, "retention", "pins") == 0
    assert "audit" in capsys.readouterr().out
    assert run(folder, "retention", "unpin", str(pin["pin_id"])) == 0
    assert "no longer pinned" in capsys.readouterr().out
    assert run(folder, "retention", "unpin", str(pin["pin_id"])) == 1
    assert run(folder, "retention", "pin", "99") == 1
    assert run(folder, "retention", "pin", "x") != 0


def test_what_is_broken_is_pinpointed_and_mended(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "reconcile") == 0
    assert "nothing is wrong" in capsys.readouterr().out
    (segment,) = folder.glob("tenant=local/workspace=default/snapshots/catalog/catalogs/*.parquet")
    segment.write_bytes(b"x" + segment.read_bytes()[1:])
    assert run(folder, "reconcile", "--deep") == 1
    seen = capsys.readouterr()
    assert segment.name in seen.out and "arco repair --apply" in seen.err
    assert run(folder, "repair") == 1
    assert segment.name in capsys.readouterr().out
    assert run(folder, "repair", "--apply") == 0
    assert "built again" in capsys.readouterr().out
    code, found = document(folder, capsys, "reconcile", "--deep")
    assert code == 0 and found["actions"] == []
    assert run(folder, "verify") == 0


def test_a_policy_that_breaks_a_rule_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "gc", "--policy", "hoarder") == 2
    assert "--policy must be one of" in capsys.readouterr().err
