from tests.unit.config.environments import COMPACTOR, DEV_API, KEY_B64
from tests.unit.edge.kit import TurnedClock, Zeros

from arco.config.settings import Settings, load
from arco.core.scope import Scope
from arco.edge.admission import authenticator_for, cors_for, cursors_for, internal_authenticator_for, rates_for
from arco.edge.auth import DebugHeaders, DevelopmentScope, InternalCaller
from arco.edge.tokens import BearerTokens


def _settings(role, environ) -> Settings:
    found = load(role, environ)
    assert isinstance(found, Settings)
    return found


def test_without_credentials_there_is_one_local_person_without_limits():
    settings = _settings("all", {})
    assert isinstance(authenticator_for(settings, TurnedClock()), DevelopmentScope)
    assert rates_for(settings, TurnedClock()) is None
    assert cors_for(settings) is None


def test_each_mode_has_its_authenticator():
    assert isinstance(authenticator_for(_settings("api", DEV_API), TurnedClock()), BearerTokens)
    debug = DEV_API | {"ARCO_DEBUG": "true", "ARCO_CORS_ALLOWED_ORIGINS": "*"}
    assert isinstance(authenticator_for(_settings("api", debug), TurnedClock()), DebugHeaders)
    assert cors_for(_settings("api", debug)) is not None


def test_tokens_come_with_rates():
    rates = rates_for(_settings("api", DEV_API | {"ARCO_RATE_BURST": "7"}), TurnedClock())
    assert rates is not None
    assert (rates.rate.per_minute, rates.rate.burst) == (500, 7)


def test_internal_roles_ask_for_the_token_and_serve_their_scope():
    only = Scope("acme", "main")
    free = internal_authenticator_for(_settings("compactor", COMPACTOR))
    assert isinstance(free, InternalCaller)
    assert free.identify({}).scope == only
    token = {"ARCO_INTERNAL_AUTH_MODE": "static_bearer", "ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN": "x"}
    bound = internal_authenticator_for(_settings("compactor", COMPACTOR | token))
    assert bound.identify({b"authorization": b"Bearer x"}).scope == only


def test_cursors_are_signed_with_the_configured_secret_or_with_one_of_this_process():
    scope = Scope("acme", "main")
    configured = cursors_for(_settings("api", DEV_API | {"ARCO_CURSOR_SECRET": KEY_B64}), Zeros())
    fresh = cursors_for(_settings("api", DEV_API), Zeros())
    assert configured.encode(scope, "/a", "k", "0") != fresh.encode(scope, "/a", "k", "0")
