from arco.cli.main import main
from arco.roles.doctor import Case, run
from arco.roles.doctor_storage import examine
from arco.storage.memory import MemoryStore
from arco.storage.port import Matches

NOBODY = "http://127.0.0.1:1"
YEAR_2027_MS = 1_798_761_600_000


class StandingClock:
    def __init__(self, now_ms):
        self._now_ms = now_ms

    def now_ms(self):
        return self._now_ms

    def steady_ms(self):
        return 0

    async def sleep_ms(self, duration_ms):
        del duration_ms


class ForgetsConditions(MemoryStore):
    """A store that overwrites whatever is there, as some object stores do."""

    async def put(self, key, body, *, when):
        found = await self.get(key)
        return await super().put(key, body, when=when if found is None else Matches(found.version))


def by_name(checks):
    return {check.name: check for check in checks}


def a_case(storage, **settings):
    return Case(role="all", environ={"ARCO_URL": NOBODY, **settings.pop("environ", {})}, storage=storage, **settings)


async def test_a_good_store_keeps_every_promise_and_the_scratch_object_is_gone():
    store = MemoryStore()
    examination = await examine(store, "__arco/doctor/x")
    assert [promise.name for promise in examination.promises] == [
        "create",
        "create-only",
        "read-after-write",
        "compare-and-swap",
        "stale swap",
        "conditional delete",
    ]
    assert all(promise.kept for promise in examination.promises)
    assert await store.list_page("__arco/") == []


async def test_a_store_that_ignores_conditions_is_caught():
    examination = await examine(ForgetsConditions(), "__arco/doctor/x")
    last = examination.promises[-1]
    assert (last.name, last.kept) == ("create-only", False)
    assert "creating an existing object answered Stored" in last.detail


def test_a_local_directory_passes(tmp_path):
    checks = by_name(run(a_case(f"file://{tmp_path}"), lambda _: None))
    assert {check.status for check in checks.values()} <= {"pass", "warn"}
    assert checks["storage conditional delete"].status == "pass"
    assert checks["server"].status == "warn"
    assert checks["server"].fix == "start one with: arco serve"


def test_a_server_that_was_named_must_answer(tmp_path):
    checks = by_name(run(a_case(f"file://{tmp_path}", url=NOBODY), lambda _: None))
    assert checks["server"].status == "fail"


def test_a_storage_that_is_a_file_is_said(tmp_path):
    (tmp_path / "lake").touch()
    checks = by_name(run(a_case(f"file://{tmp_path}/lake"), lambda _: None))
    assert (checks["disk"].status, checks["disk"].fix) == ("fail", "name a directory with --storage")


def test_a_storage_that_cannot_be_opened_is_said():
    checks = by_name(run(a_case("ftp://x"), lambda _: None))
    assert checks["storage"].status == "fail"
    assert "unknown scheme" in checks["storage"].detail


def test_every_configuration_problem_is_a_check_of_its_own():
    environ = {"ARCO_HTTP_PORT": "many", "ARCO_COMPACTOR_PORT": "few"}
    checks = run(a_case("memory://", environ=environ), lambda _: None)
    told = [check.detail for check in checks if check.name == "configuration" and check.status == "fail"]
    assert [detail.partition(":")[0] for detail in told] == ["ARCO_COMPACTOR_PORT", "ARCO_HTTP_PORT"]


def test_a_clock_that_is_far_from_the_storages_fails(tmp_path):
    checks = by_name(run(a_case(f"file://{tmp_path}"), lambda _: None, clock=StandingClock(YEAR_2027_MS * 2)))
    assert checks["clock"].status == "fail"
    assert checks["clock"].fix == "switch on time synchronisation"


def test_a_clock_that_was_never_set_fails():
    checks = by_name(run(a_case("memory://"), lambda _: None, clock=StandingClock(0)))
    assert checks["clock"].detail == "this machine's clock is years behind"


def test_the_command_exits_with_1_when_a_check_fails(tmp_path, capsys):
    assert main(["doctor", "--storage", str(tmp_path), "--url", NOBODY]) == 1
    out = capsys.readouterr().out
    assert "next: start one with: arco serve" in out
