"""Settings: the defaults work, and errors name the variable."""

import pytest

from config import Settings, SettingsError


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the machine's environment variables and any `.env` from these tests."""
    import os

    for name in [n for n in os.environ if n.startswith("QUARTET_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))


def test_the_defaults_need_no_engine() -> None:
    settings = Settings.from_env()
    assert settings == Settings()
    assert settings.relay_inline
    assert set(settings.embedded_roles) == {"relational", "documents", "feeds", "sessions", "cache"}


def test_the_environment_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_WORKERS", "7")
    monkeypatch.setenv("QUARTET_SESSION_DAYS", "0.5")
    monkeypatch.setenv("QUARTET_ALLOW_EMBEDDED", "true")
    monkeypatch.setenv("PORT", "9000")
    settings = Settings.from_env()
    assert (settings.workers, settings.session_days, settings.allow_embedded, settings.port) == (7, 0.5, True, 9000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUARTET_WORKERS", "many"),
        ("QUARTET_WORKERS", "0"),
        ("QUARTET_PORT", "70000"),
        ("PORT", "x"),
        ("QUARTET_ENV", "staging"),
        ("QUARTET_SECRET_KEY", "short"),
        ("QUARTET_RELATIONAL_URL", "mysql://x"),
        ("QUARTET_FEEDS_URL", "redis://x"),
        ("QUARTET_SESSIONS_URL", "redis+cluster://x"),
        ("QUARTET_CACHE_TIMEOUT", "0"),
        ("QUARTET_LOG_LEVEL", "loud"),
        ("QUARTET_CORS_ORIGINS", "*"),
        ("QUARTET_CORS_ORIGINS", "https://app.example.com,https://app.example.com/"),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Settings.from_env()


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().origins == ()
    monkeypatch.setenv("QUARTET_CORS_ORIGINS", " https://app.example.com,http://localhost:5173 , ")
    assert Settings.from_env().origins == ("https://app.example.com", "http://localhost:5173")


def test_production_refuses_development_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_ENV", "production")
    with pytest.raises(SettingsError, match="QUARTET_SECRET_KEY"):
        Settings.from_env()
    monkeypatch.setenv("QUARTET_SECRET_KEY", "x" * 32)
    with pytest.raises(SettingsError, match="QUARTET_RELATIONAL_URL"):
        Settings.from_env()
    monkeypatch.setenv("QUARTET_ALLOW_EMBEDDED", "true")
    assert Settings.from_env().env == "production"


@pytest.mark.parametrize(
    ("env", "asked", "form"),
    [
        ("development", "auto", "console"),
        ("production", "auto", "json"),
        ("development", "json", "json"),
        ("production", "console", "console"),
    ],
)
def test_logs_are_for_people_in_development(env: str, asked: str, form: str) -> None:
    assert Settings(env=env, log_format=asked).log_form == form


def test_a_cluster_of_redis_is_for_the_cache_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_CACHE_URL", "redis+cluster://h1,h2")
    assert Settings.from_env().cache_url == "redis+cluster://h1,h2"
