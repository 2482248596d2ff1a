"""`arco serve` on buckets: the same roles, the same answers, and nothing kept anywhere else."""

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest
from tests.emulators.processes import AWS_VARIABLES, BUCKET, Emulator
from tests.process.servers import COMMAND, Caller, Server, environment, every_name, serving

pytestmark = pytest.mark.process

TABLES = "/catalogs/lake/schemas/raw/tables"
COLUMNS = [{"name": "id", "data_type": "BIGINT", "nullable": False}]


# This is not about time: a busy machine may take it.
PATIENT = {"ARCO_QUERY_TIMEOUT_SECS": "60"}


def on_gcs(gcs: Emulator) -> dict[str, str]:
    """What a server needs to find the emulated Cloud Storage."""
    return {**PATIENT, "STORAGE_EMULATOR_HOST": gcs.endpoint}


def on_s3(s3: Emulator) -> dict[str, str]:
    """What a server needs to find the emulated S3, and to be let in."""
    return {**PATIENT, **AWS_VARIABLES, "AWS_ENDPOINT_URL_S3": s3.endpoint}


def lives_in(storage: str, variables: Mapping[str, str]) -> None:
    """A workspace is made, read, asked in SQL, and still there when the server is another one."""
    arguments = ["--port", "0", "--storage", storage]
    with serving(arguments, variables) as server, Caller(server.ports["api"]) as caller:
        assert caller.ask("POST", "/catalogs", {"name": "lake"})[0] == 201
        assert caller.ask("POST", "/catalogs/lake/schemas", {"name": "raw"})[0] == 201
        for name in ("orders", "customers"):
            status, made = caller.ask("POST", TABLES, {"name": name, "columns": COLUMNS})
            assert status == 201, made
        assert names_by_sql(caller) == ["customers", "orders"]
        assert server.stop() == 0, server.lines
    with serving(arguments, variables) as server, Caller(server.ports["api"]) as caller:
        assert every_name(server.ports["api"], TABLES, "tables") == ["customers", "orders"]
        assert names_by_sql(caller) == ["customers", "orders"]
        assert caller.ask("POST", TABLES, {"name": "orders", "columns": COLUMNS})[0] == 409
        quiet_end(server)
    report = arco(["verify", "--storage", storage, "--json"], variables)
    assert report.returncode == 0, report.stdout + report.stderr


def names_by_sql(caller: Caller) -> list[str]:
    """Names of tables, asked in SQL."""
    status, rows = caller.ask("POST", "/query?format=json", {"sql": "SELECT name FROM catalog.tables ORDER BY name"})
    assert status == 200, rows
    return [row["name"] for row in rows]


def quiet_end(server: Server) -> None:
    """It ends as asked, and no connection to the bucket is left to complain about."""
    assert server.stop() == 0
    assert not [line for line in server.lines if "Unclosed" in line or "Traceback" in line]


def arco(arguments: list[str], variables: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run one command of arco."""
    return subprocess.run(
        [sys.executable, "-m", "arco", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(variables),
    )


def test_a_server_on_cloud_storage_keeps_everything_in_its_bucket(gcs: Emulator):
    lives_in(f"gs://{BUCKET}/served", on_gcs(gcs))


def test_a_server_on_s3_keeps_everything_in_its_bucket(request: pytest.FixtureRequest):
    if request.config.getoption("--store") != "s3":
        pytest.skip("run with --store=s3, as `nox -s cloud` does")
    s3: Emulator = request.getfixturevalue("s3")
    lives_in(f"s3://{BUCKET}/served", on_s3(s3))


def test_a_bucket_that_does_not_exist_is_told_before_a_port_is_opened(gcs: Emulator):
    done = subprocess.run(
        [*COMMAND, "--port", "0", "--storage", "gs://no-such-bucket"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(on_gcs(gcs)),
    )
    assert done.returncode == 69
    assert "bucket no-such-bucket refuses to be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_tries_what_arco_relies_on_in_a_bucket(gcs: Emulator):
    done = arco(["doctor", "--storage", f"gs://{BUCKET}/doctor", "--json"], on_gcs(gcs))
    report = json.loads(done.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    tried = [check for name, check in checks.items() if name.startswith("storage ")]
    assert len(tried) == 6, report
    assert {check["status"] for check in tried} == {"pass"}, report
    assert "from the storage's clock" in checks["clock"]["detail"]
