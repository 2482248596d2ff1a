from pathlib import Path

from arco.cli.locations import is_in_workspace, local_path, registered_location, storage_url


def test_a_storage_flag_without_a_scheme_is_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage_url("lake", {}) == f"file://{tmp_path}/lake"
    assert storage_url("gs://bucket", {}) == "gs://bucket"


def test_the_flag_wins_over_the_variable_and_both_over_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage_url("memory://", {"ARCO_STORAGE_BUCKET": "gs://b"}) == "memory://"
    assert storage_url(None, {"ARCO_STORAGE_BUCKET": "gs://b"}) == "gs://b"
    assert storage_url(None, {}) == f"file://{tmp_path}/.arco"


def test_files_in_a_workspace_are_registered_relative_to_the_storage(tmp_path):
    file = tmp_path / "tenant=acme" / "workspace=prod" / "warehouse" / "orders.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    location = registered_location(str(file), file)
    assert location == "tenant=acme/workspace=prod/warehouse/orders.parquet"
    assert is_in_workspace(location)


def test_other_local_files_are_registered_by_their_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("orders.parquet").touch()
    location = registered_location("./orders.parquet", Path("orders.parquet"))
    assert location == str(tmp_path / "orders.parquet")
    assert not is_in_workspace(location)


def test_a_location_below_the_workspace_is_found_and_registered_as_it_was_said(tmp_path):
    inside = tmp_path / "tenant=local" / "workspace=default" / "warehouse" / "t"
    inside.mkdir(parents=True)
    environ = {"ARCO_STORAGE_BUCKET": f"file://{tmp_path}"}
    assert local_path("warehouse/t/", environ, None, None) == inside
    assert registered_location("warehouse/t/", inside) == "warehouse/t/"


def test_a_bucket_is_not_on_this_machine():
    assert local_path("gs://lake/orders", {}, None, None) is None
    assert registered_location("gs://lake/orders", None) == "gs://lake/orders"
