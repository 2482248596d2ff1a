from tests.unit.config.environments import PROD_API

from arco.config.describe import secret_shown, settings_lines, variables_markdown
from arco.config.kinds import BadValue
from arco.config.settings import Settings, load
from arco.config.table import VARIABLES
from arco.config.table_worker import WORKER_VARIABLES
from arco.config.variables import ROLES, WORKER


def test_every_variable_is_documented_once():
    for group, roles in ((VARIABLES, {*ROLES}), (WORKER_VARIABLES, {WORKER})):
        text = variables_markdown(group)
        for variable in group:
            assert text.count(f"| `{variable.name}`") == 1
            assert f"| `{variable.name}`" in variables_markdown()
            assert variable.doc.endswith(".")
            assert set(variable.roles) <= roles


def test_names_are_unique_and_defaults_are_valid():
    assert len({variable.name for variable in VARIABLES}) == len(VARIABLES)
    for variable in VARIABLES:
        if variable.default:
            try:
                variable.parse(variable.default)
            except BadValue as bad:
                raise AssertionError(f"{variable.name}: {bad}") from None


def test_a_table_cell_cannot_break_the_table():
    for line in variables_markdown().splitlines():
        if line.startswith("| `"):
            assert line.replace("\\|", "").count("|") == 6


def test_a_secret_is_shown_as_a_fingerprint():
    assert secret_shown("short") == "set, under 32 bytes"
    assert secret_shown("s" * 32).startswith("set, 32+ bytes, fingerprint ")
    assert secret_shown("s" * 32) == secret_shown(b"s" * 32)
    assert secret_shown("s" * 32) != secret_shown("t" * 32)


def test_a_configuration_can_be_shown_without_its_secrets():
    found = load("api", PROD_API)
    assert isinstance(found, Settings)
    shown = dict(settings_lines(found))
    assert shown["ARCO_API_PUBLIC"] == "false"
    assert shown["ARCO_STORAGE_BUCKET"] == "gs://lake"
    assert shown["ARCO_JWT_SECRET"].startswith("set, 32+ bytes")
    assert "jjj" not in str(shown)
