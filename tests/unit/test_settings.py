"""Settings from the environment: names, defaults, empty values and error messages."""

import os
import ssl
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_tests
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from spotisync.cli.demo import environment
from spotisync.errors import Misconfigured
from spotisync.settings import MAX_SOCKET_DIR_BYTES, Settings, default_data_dir, settings

ROOT = Path(__file__).parents[2]
# field: variable, default, a value to set, the parsed value
VARIABLES: dict[str, tuple[str, Any, str, Any]] = {
    "database_url": ("SPOTISYNC_DATABASE_URL", None, "postgresql://db/x", "postgresql://db/x"),
    "database_pooler": ("SPOTISYNC_DATABASE_POOLER", None, "1", True),
    "migration_database_url": ("SPOTISYNC_MIGRATION_DATABASE_URL", None, "postgresql://m/x", "postgresql://m/x"),
    "broker_url": ("SPOTISYNC_BROKER_URL", None, "redis://r", "redis://r"),
    "result_backend": ("SPOTISYNC_RESULT_BACKEND", None, "redis://r/1", "redis://r/1"),
    "data_dir": ("SPOTISYNC_DATA_DIR", default_data_dir(), "/srv/x", Path("/srv/x")),
    "client_id": ("SPOTIPY_CLIENT_ID", None, "me", "me"),
    "client_secret": ("SPOTIPY_CLIENT_SECRET", None, "hush", "hush"),
    "redirect_uri": ("SPOTIPY_REDIRECT_URI", "http://127.0.0.1:8420/accounts/callback", "https://x/cb", "https://x/cb"),
    "spotify_api_url": ("SPOTISYNC_SPOTIFY_API_URL", "https://api.spotify.com/v1", "http://sim/v1/", "http://sim/v1"),
    "spotify_accounts_url": (
        "SPOTISYNC_SPOTIFY_ACCOUNTS_URL",
        "https://accounts.spotify.com",
        "http://a//",
        "http://a",
    ),
    "secret_key": ("SPOTISYNC_SECRET_KEY", None, "a,b", "a,b"),
    "host": ("SPOTISYNC_HOST", "127.0.0.1", "::1", "::1"),
    "port": ("SPOTISYNC_PORT", 8420, "0", 0),
    "api_token": ("SPOTISYNC_API_TOKEN", None, "hush", "hush"),
    "allowed_hosts": ("SPOTISYNC_ALLOWED_HOSTS", "", "a.example,b", "a.example,b"),
    "root_path": ("SPOTISYNC_ROOT_PATH", "", "/a/spotify.1/", "/a/spotify.1"),
    "trusted_proxies": ("SPOTISYNC_TRUSTED_PROXIES", "127.0.0.1,::1", "10.0.0.0/8, ::1", "10.0.0.0/8, ::1"),
    "flower_auth": ("SPOTISYNC_FLOWER_AUTH", None, "a:b,c:d", "a:b,c:d"),
    "timezone": ("SPOTISYNC_TIMEZONE", None, "Europe/Oslo", "Europe/Oslo"),
    "full_sync_schedule": ("SPOTISYNC_FULL_SYNC_SCHEDULE", "0 4 * * 0", "5 5 * * *", "5 5 * * *"),
    "sweep_interval": ("SPOTISYNC_SWEEP_INTERVAL", 10, "3", 3),
    "lease_seconds": ("SPOTISYNC_LEASE_SECONDS", 120, "9", 9),
    "max_countdown": ("SPOTISYNC_MAX_COUNTDOWN", 60, "9", 9),
    "tracks_batch_size": ("SPOTISYNC_TRACKS_BATCH_SIZE", 200, "9", 9),
    "artists_batch_size": ("SPOTISYNC_ARTISTS_BATCH_SIZE", 100, "9", 9),
    "albums_batch_size": ("SPOTISYNC_ALBUMS_BATCH_SIZE", 100, "9", 9),
    "playlists_batch_size": ("SPOTISYNC_PLAYLISTS_BATCH_SIZE", 50, "9", 9),
    "api_concurrency": ("SPOTISYNC_API_CONCURRENCY", 4, "9", 9),
    "api_timeout": ("SPOTISYNC_API_TIMEOUT", 30, "9", 9),
    "enrichment": ("SPOTISYNC_ENRICHMENT", "auto", "always", "always"),
    "enrichment_budget": ("SPOTISYNC_ENRICHMENT_BUDGET", 500, "9", 9),
    "notify": ("SPOTISYNC_NOTIFY", None, "json://x", "json://x"),
    "notify_after": ("SPOTISYNC_NOTIFY_AFTER", 3600, "9", 9),
    "log_level": ("SPOTISYNC_LOG_LEVEL", "INFO", "debug", "DEBUG"),
    "log_format": ("SPOTISYNC_LOG_FORMAT", None, "json", "json"),
    "sign_of_life": ("SPOTISYNC_SIGN_OF_LIFE", None, "/srv/alive", Path("/srv/alive")),
    "otel_sdk_disabled": ("OTEL_SDK_DISABLED", None, "true", "true"),
    "otel_traces_exporter": ("OTEL_TRACES_EXPORTER", None, "console", "console"),
    "otel_exporter_otlp_endpoint": ("OTEL_EXPORTER_OTLP_ENDPOINT", None, "http://c:4318", "http://c:4318"),
    "otel_exporter_otlp_traces_endpoint": (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        None,
        "http://c:4318/v1/traces",
        "http://c:4318/v1/traces",
    ),
    "otel_exporter_otlp_protocol": ("OTEL_EXPORTER_OTLP_PROTOCOL", None, "http/protobuf", "http/protobuf"),
    "otel_exporter_otlp_traces_protocol": (
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        None,
        "http/protobuf",
        "http/protobuf",
    ),
    "otel_exporter_otlp_headers": ("OTEL_EXPORTER_OTLP_HEADERS", None, "key=hush", "key=hush"),
    "otel_service_name": ("OTEL_SERVICE_NAME", None, "mine", "mine"),
    "otel_resource_attributes": ("OTEL_RESOURCE_ATTRIBUTES", None, "a=b", "a=b"),
    "otel_traces_sampler": ("OTEL_TRACES_SAMPLER", None, "always_off", "always_off"),
    "otel_traces_sampler_arg": ("OTEL_TRACES_SAMPLER_ARG", None, "0.1", "0.1"),
    "otel_python_disabled_instrumentations": (
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        None,
        "sqlalchemy",
        "sqlalchemy",
    ),
}
NUMBERS = [name for name, (_, default, _, _) in VARIABLES.items() if isinstance(default, int) and name != "port"]
Set = Callable[..., Settings]


@pytest.fixture
def read_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Set:
    """Read settings from an environment with only these variables."""
    for name in list(os.environ):
        if name.upper().startswith(("SPOTISYNC_", "SPOTIPY_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def read(**variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return settings()

    return read


@pytest.fixture(autouse=True)
def _clear_cached_settings() -> Iterator[None]:
    yield
    settings.cache_clear()


def test_every_setting_is_covered() -> None:
    assert set(VARIABLES) <= set(Settings.model_fields)


@pytest.mark.parametrize("field", VARIABLES)
def test_each_variable_has_its_name_and_default(read_settings: Set, field: str) -> None:
    variable, default, value, meaning = VARIABLES[field]
    assert getattr(read_settings(), field) == default
    assert getattr(read_settings(**{variable: value}), field) == meaning


@pytest.mark.parametrize("field", [field for field in VARIABLES if field != "full_sync_schedule"])
def test_an_empty_variable_counts_as_unset(read_settings: Set, field: str) -> None:
    variable, default, _, _ = VARIABLES[field]
    assert getattr(read_settings(**{variable: ""}), field) == default


def test_an_empty_schedule_disables_it(read_settings: Set) -> None:
    assert read_settings(SPOTISYNC_FULL_SYNC_SCHEDULE="").full_sync_schedule == ""


@pytest.mark.parametrize("field", [*NUMBERS, "enrichment", "log_level", "log_format", "timezone"])
def test_a_wrong_value_names_its_variable_and_is_not_repeated(read_settings: Set, field: str) -> None:
    variable = VARIABLES[field][0]
    with pytest.raises(Misconfigured, match=f"invalid settings: {variable}: ") as raised:
        read_settings(**{variable: "sw0rdfish"})
    assert "sw0rdfish" not in str(raised.value) or field == "timezone"


@pytest.mark.parametrize(
    "value", ["spotify", "/", "//x", "/a//b", "/a/..", "/a?b", "/a b", "https://x/a", "/ä", "/a\n"]
)
def test_a_root_path_is_a_plain_path(read_settings: Set, value: str) -> None:
    if value == "/":
        assert not read_settings(SPOTISYNC_ROOT_PATH=value).root_path
    else:
        with pytest.raises(Misconfigured, match="SPOTISYNC_ROOT_PATH: use a path such as /spotify: it begins with /"):
            read_settings(SPOTISYNC_ROOT_PATH=value)


@pytest.mark.parametrize("value", ["*", "nginx", "10.0.0.1/8", "127.0.0.1,"])
def test_a_trusted_proxy_is_an_address_or_a_network(read_settings: Set, value: str) -> None:
    with pytest.raises(Misconfigured, match=r"SPOTISYNC_TRUSTED_PROXIES: .*use addresses or networks such as 127"):
        read_settings(SPOTISYNC_TRUSTED_PROXIES=value)


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", ["0", "-1", "1.5"])
def test_a_number_must_be_whole_and_positive(read_settings: Set, field: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=VARIABLES[field][0]):
        read_settings(**{VARIABLES[field][0]: value})


@pytest.mark.parametrize(
    ("variable", "usual"), [("SPOTISYNC_INCREMENTAL_INTERVAL", 1800), ("SPOTISYNC_PLAYBACK_INTERVAL", 600)]
)
def test_an_interval_of_zero_disables_it(read_settings: Set, variable: str, usual: int) -> None:
    field = variable.removeprefix("SPOTISYNC_").lower()
    assert getattr(read_settings(), field) == usual
    assert getattr(read_settings(**{variable: "0"}), field) == 0
    with pytest.raises(Misconfigured, match=variable):
        read_settings(**{variable: "-1"})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("0 4 * *", "of five fields"),
        ("* * * * * *", "of five fields"),
        ("@daily", "of five fields"),
        ("0 24 * * *", "bad hour"),
        ("0 4 * * someday", "bad day-of-week"),
        ("0 4 31 2 *", "bad day-of-month"),
        ("0 4 */20 * 1L", "never matches a date"),
    ],
)
def test_a_bad_schedule_names_its_variable_and_the_reason(read_settings: Set, value: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=f"SPOTISYNC_FULL_SYNC_SCHEDULE: .*{why}"):
        read_settings(SPOTISYNC_FULL_SYNC_SCHEDULE=value)


@pytest.mark.parametrize("value", ["0 4 * * 0", "*/15 6-22 * * mon-fri", "0 4 1,15 * *", "0 4 L * *", "0 4 * * 7"])
def test_accepts_schedules_of_every_kind(read_settings: Set, value: str) -> None:
    assert read_settings(SPOTISYNC_FULL_SYNC_SCHEDULE=value).full_sync_schedule == value


def test_reports_several_wrong_values_at_once(read_settings: Set) -> None:
    with pytest.raises(Misconfigured, match=r"SPOTISYNC_SWEEP_INTERVAL: .*; SPOTISYNC_LOG_LEVEL: "):
        read_settings(SPOTISYNC_SWEEP_INTERVAL="x", SPOTISYNC_LOG_LEVEL="LOUD")


def test_ignores_variables_of_other_programs(read_settings: Set) -> None:
    found = read_settings(CLIENT_ID="theirs", CLIENT_SECRET="theirs", REDIRECT_URI="http://theirs")
    assert (found.client_id, found.client_secret) == (None, None)
    assert found.redirect_uri.startswith("http://127.0.0.1")


def test_the_environment_overrides_the_dotenv_file(read_settings: Set, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SPOTISYNC_SWEEP_INTERVAL=3\nSPOTISYNC_MAX_COUNTDOWN=4\nSOMETHING_ELSE=5\n")
    found = read_settings(SPOTISYNC_MAX_COUNTDOWN="6")
    assert (found.sweep_interval, found.max_countdown) == (3, 6)


def test_a_dotenv_file_that_is_no_text_is_named(read_settings: Set, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("SPOTISYNC_DEVELOPER=Zoë\n".encode("latin-1"))
    with pytest.raises(Misconfigured, match=rf"can't read {tmp_path}/\.env \(not UTF-8 text\)"):
        read_settings()


def test_secrets_are_not_in_the_repr(read_settings: Set) -> None:
    found = read_settings(
        SPOTIPY_CLIENT_SECRET="sw0rdfish",
        SPOTISYNC_SECRET_KEY="sw0rdfish",
        SPOTISYNC_DATABASE_URL="postgresql://u:sw0rdfish@db/x",
        SPOTISYNC_BROKER_URL="redis://:sw0rdfish@r",
        SPOTISYNC_RESULT_BACKEND="redis://:sw0rdfish@r",
        SPOTISYNC_NOTIFY="ntfy://sw0rdfish",
    )
    assert "sw0rdfish" not in repr(found)
    assert "sw0rdfish" not in str(found)


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("", []),
        ("json://a", ["json://a"]),
        ("json://a, ntfys://b/c\nmailto://u:p@h?to=x,y", ["json://a", "ntfys://b/c", "mailto://u:p@h?to=x,y"]),
        (" json://a ,", ["json://a"]),
        ("nothing", ["nothing"]),
    ],
)
def test_splits_a_list_of_notification_addresses(read_settings: Set, value: str, urls: list[str]) -> None:
    assert read_settings(SPOTISYNC_NOTIFY=value).notify_urls == urls


def test_settings_are_read_once(read_settings: Set) -> None:
    first = read_settings(SPOTISYNC_SWEEP_INTERVAL="3")
    assert settings() is first


# ---- secrets in files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", VARIABLES)
def test_a_variable_can_be_read_from_a_file(read_settings: Set, tmp_path: Path, field: str) -> None:
    variable, default, value, meaning = VARIABLES[field]
    (tmp_path / "secret").write_text(f"{value}\n")
    assert getattr(read_settings(**{f"{variable}_FILE": ""}), field) == default
    assert getattr(read_settings(**{f"{variable}_FILE": str(tmp_path / "secret"), variable: ""}), field) == meaning


def test_a_dotenv_file_can_name_a_secret_file_which_may_be_empty(read_settings: Set, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / ".env").write_text("SPOTIPY_CLIENT_SECRET_FILE=secret\n")
    assert read_settings().client_secret is None
    (tmp_path / "secret").write_text("hush")
    assert read_settings().client_secret == "hush"
    assert read_settings(SPOTIPY_CLIENT_SECRET_FILE="").client_secret is None


def test_a_missing_file_names_its_variable(read_settings: Set) -> None:
    with pytest.raises(Misconfigured, match=r"SPOTISYNC_SECRET_KEY_FILE: can't read /not/there \(No such file"):
        read_settings(SPOTISYNC_SECRET_KEY_FILE="/not/there")


def test_rejects_a_value_and_a_file_for_one_variable(read_settings: Set, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sw0rdfish")
    with pytest.raises(Misconfigured, match="SPOTISYNC_API_TOKEN and SPOTISYNC_API_TOKEN_FILE are both set") as raised:
        read_settings(SPOTISYNC_API_TOKEN="sw0rdfish", SPOTISYNC_API_TOKEN_FILE=str(tmp_path / "secret"))
    assert "sw0rdfish" not in str(raised.value)


def test_the_demo_ignores_personal_settings(
    read_settings: Set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("redis://theirs")
    (tmp_path / "url").write_text("postgresql://theirs/library")
    for name in (*environment.PERSONAL_VARIABLES, "SPOTIPY_CLIENT_ID", "SPOTISYNC_DATA_DIR"):
        monkeypatch.setenv(name, "")  # monkeypatch restores the variables that the demo sets
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / ("url" if name.endswith("DATABASE_URL") else "secret")))
    read_settings(SPOTISYNC_DATA_DIR_FILE="", SPOTISYNC_DATA_DIR=str(tmp_path))
    chosen = environment.use_demo_data_dir()
    assert chosen.embedded_postgres
    assert chosen.broker_url is None
    assert (chosen.client_id, chosen.client_secret, chosen.secret_key) == ("demo", None, None)


# ---- URLs -----------------------------------------------------------------------------------------------------------


TO_PSYCOPG = {
    "postgresql://u@h/d?sslmode=require": "postgresql+psycopg://u@h/d?sslmode=require",
    "postgres://u@h/d": "postgresql+psycopg://u@h/d",
    "postgresql+psycopg://u@h/d": "postgresql+psycopg://u@h/d",
    "postgresql+psycopg2://u:p%40ss@h:5433/d": "postgresql+psycopg://u:p%40ss@h:5433/d",
    "postgresql+asyncpg://u@h/d?ssl=true": "postgresql+psycopg://u@h/d?sslmode=require",
    "postgresql://h": "postgresql+psycopg://h/",
    "postgresql://u@[::1]:5433/d": "postgresql+psycopg://u@[::1]:5433/d",
    "postgresql:///d?host=/var/run/postgresql": "postgresql+psycopg:///d?host=/var/run/postgresql",
    "postgresql://u@h/d?options=-c%20jit%3Doff": "postgresql+psycopg://u@h/d?options=-c%20jit%3Doff",
    "postgresql://u@h:6543/d?pgbouncer=true&connection_limit=1": "postgresql+psycopg://u@h:6543/d?pgbouncer=true",
    "postgresql://u@h/d?schema=public": "postgresql+psycopg://u@h/d",
    "postgresql://u@h:/d": "postgresql+psycopg://u@h/d",
    "postgresql://u@%2Frun%2Fpg:5433/d": "postgresql+psycopg://u@/d?host=/run/pg&port=5433",
    "postgresql://u@[fe80::1%25eth0]/d": "postgresql+psycopg://u@/d?host=fe80%3A%3A1%25eth0&port=5432",
    "postgresql://u@/d?host=a:1&host=b:2": "postgresql+psycopg://u@/d?host=a%3A1&host=b%3A2",
    "postgresql://u@a:1,b/d?target_session_attrs=read-write": "postgresql+psycopg://u@/d"
    "?target_session_attrs=read-write&host=a,b&port=1,5432",
}


@pytest.mark.parametrize("given", TO_PSYCOPG)
def test_database_urls_of_hosts_become_urls_of_psycopg_3(read_settings: Set, given: str) -> None:
    found = read_settings(SPOTISYNC_DATABASE_URL=given)
    assert found.database == found.migration_database == TO_PSYCOPG[given]
    make_url(found.database)
    assert not found.embedded_postgres


def test_the_variable_for_the_pooler_overrides_the_url(read_settings: Set) -> None:
    url = "postgresql://u@h/d?pgbouncer=true"
    off = read_settings(SPOTISYNC_DATABASE_URL=url, SPOTISYNC_DATABASE_POOLER="0")
    assert off.database == "postgresql+psycopg://u@h/d?pgbouncer=false"
    on = read_settings(
        SPOTISYNC_DATABASE_URL="postgresql://u@h/d",
        SPOTISYNC_DATABASE_POOLER="1",
        SPOTISYNC_MIGRATION_DATABASE_URL="postgres://u@direct/d",
    )
    assert on.database == "postgresql+psycopg://u@h/d?pgbouncer=true"
    assert on.migration_database == "postgresql+psycopg://u@direct/d"


TO_CELERY = {
    "redis://:pw@r:6379/0": "redis://:pw@r:6379/0",
    "valkey://r": "redis://r",
    "valkeys://r/1": "rediss://r/1?ssl_cert_reqs=required",
    "rediss://:pw@r": "rediss://:pw@r?ssl_cert_reqs=required",
    "rediss://r?ssl_cert_reqs=CERT_NONE": "rediss://r?ssl_cert_reqs=none",
    "rediss://r?ssl_ca_certs=/ca.pem": "rediss://r?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required",
    "unix:///run/valkey.sock": "redis+socket:///run/valkey.sock?virtual_host=0",
    "unix:///run/valkey.sock?db=2": "redis+socket:///run/valkey.sock?virtual_host=2",
    "sentinel://a:26379;sentinel://b:26379/0?master_name=m": "sentinel://a:26379;sentinel://b:26379/0",
}


@pytest.mark.parametrize("given", TO_CELERY)
def test_broker_urls_of_hosts_become_urls_of_celery(read_settings: Set, given: str) -> None:
    found = read_settings(SPOTISYNC_BROKER_URL=given)
    assert found.broker == found.backend == TO_CELERY[given]
    assert read_settings(SPOTISYNC_BROKER_URL="amqp://r", SPOTISYNC_RESULT_BACKEND=given).backend == TO_CELERY[given]


AMQPS = {
    "amqps://r/v": {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "r"},
    "AMQPS://": {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "localhost"},
    "amqps://r?ssl_ca_certs=/a%20b.pem": {
        "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "r", "ca_certs": "/a b.pem",
    },
    "amqps://r?ssl_check_hostname=false": {"cert_reqs": ssl.CERT_REQUIRED},
    "amqps://r?ssl_cert_reqs=none": {"cert_reqs": ssl.CERT_NONE},
    "amqps://r;amqps://s": {"cert_reqs": ssl.CERT_REQUIRED},
    "amqp://r": {},
}  # fmt: skip


@pytest.mark.parametrize("given", AMQPS)
def test_celery_gets_tls_of_rabbitmq_as_options(read_settings: Set, given: str) -> None:
    found = read_settings(SPOTISYNC_BROKER_URL=given)
    assert found.broker_ssl == AMQPS[given]
    assert "ssl_" not in found.broker


def test_other_parameters_of_rabbitmq_stay_in_its_url(read_settings: Set) -> None:
    url = "amqps://r/v?heartbeat=9&ssl_keyfile=/k&ssl_certfile=/c"
    assert read_settings(SPOTISYNC_BROKER_URL=url).broker == "amqps://r/v?heartbeat=9"


def test_the_master_behind_sentinel_is_that_of_each_url(read_settings: Set) -> None:
    sentinel = "sentinel://a:26379?master_name="
    assert read_settings(SPOTISYNC_BROKER_URL=f"{sentinel}m").sentinel_masters == ("m", "m")
    both = read_settings(SPOTISYNC_BROKER_URL=f"{sentinel}m", SPOTISYNC_RESULT_BACKEND=f"{sentinel}n")
    assert both.sentinel_masters == ("m", "n")
    plain = read_settings(SPOTISYNC_BROKER_URL="redis://r", SPOTISYNC_RESULT_BACKEND="")
    assert plain.sentinel_masters == (None, None)


# variable, URL, a part of the message
BAD_URLS = [
    ("DATABASE_URL", "mysql://u:sw0rdfish@h/d", "mysql:// is not PostgreSQL"),
    ("DATABASE_URL", "jdbc:postgresql://h/d?password=sw0rdfish", "for Java; use postgresql://"),
    ("DATABASE_URL", "host=h dbname=d password=sw0rdfish", "key=value pairs is not supported; use postgresql://"),
    ("DATABASE_URL", "h.example", "not a URL; use postgresql://"),
    ("DATABASE_URL", "postgresql://u:sw0rdfish@h:port/d", "the port is not a number"),
    ("DATABASE_URL", "postgresql://u:sw/rdfish@h/d", "percent-encode"),
    ("DATABASE_URL", "postgresql://u:sw?rdfish@h/d", "percent-encode"),
    ("DATABASE_URL", "postgresql://u:sw#rdfish@h/d", "percent-encode"),
    ("DATABASE_URL", "postgresql://u:sw@rdfish@h/d", "percent-encode"),
    ("DATABASE_URL", "postgresql://u@h/d?prepare_threshold=0", "unknown parameter prepare_threshold"),
    ("DATABASE_URL", "postgresql://u@h/d?sslmode=no-verify", "sslmode must be one of disable"),
    ("DATABASE_URL", "postgresql://u@h/d?schema=music", "remove the parameter schema"),
    ("DATABASE_URL", "postgresql://u@h/d?pgbouncer=maybe", "pgbouncer must be true or false"),
    ("DATABASE_URL", "postgresql://u@h/d?sslmode=disable&sslmode=require", "sslmode is given twice"),
    ("DATABASE_URL", "postgresql://u:sw0%00rdfish@h/d", "NUL character"),
    ("DATABASE_URL", "postgresql://u:sw0rdfish@a:1,b:2/d?port=3", "each host needs one port"),
    ("DATABASE_URL", "postgresql://u:sw0rdfish@a/d?port=3,4", "each host needs one port"),
    ("DATABASE_URL", "postgresql://u:sw0rdfish@/d?host=a,b&port=3", "each host needs one port"),
    ("MIGRATION_DATABASE_URL", "mysql://u:sw0rdfish@h/d", "mysql:// is not PostgreSQL"),
    ("BROKER_URL", "sqs://key:sw0rdfish@", "sqs:// is not supported; use redis://"),
    ("BROKER_URL", "redis://:sw0rdfish@h/abc", "the path must be the number of a database"),
    ("BROKER_URL", "redis://:sw0rdfish@h:port", "the port is not a number"),
    ("BROKER_URL", "redis://:sw0rdfish@h/0?foo_bar=1", "unknown parameter foo_bar; allowed are ssl_cert_reqs"),
    ("BROKER_URL", "unix://valkey.sock", "must be absolute, such as unix:///"),
    ("BROKER_URL", "amqp://u:sw0rdfish@h:port//", "the port is not a number"),
    ("BROKER_URL", "rediss://h?ssl_cert_reqs=maybe", "required, optional or none"),
    ("BROKER_URL", "sentinel://h:26379", "add the name of the master"),
    ("BROKER_URL", "unix:///v.sock?foo_bar=1", "unknown parameter foo_bar; allowed are db, virtual_host"),
    ("BROKER_URL", "unix:///v.sock?password=sw0rdfish", "unix://:password@/run"),
    ("BROKER_URL", "redis://h/0?virtual_host=3", "unknown parameter virtual_host"),
    ("BROKER_URL", "redis://h/0?ssl_cert_reqs=none", "use rediss://"),
    ("BROKER_URL", "redis://:sw0rdfish@a;redis://b", "only sentinel://, amqp:// and amqps:// can have several"),
    ("BROKER_URL", "amqp://u:sw0rdfish@a;redis://b", "all of one scheme"),
    ("BROKER_URL", " ; ", "not a URL; use redis://"),
    ("BROKER_URL", "amqp://h?foo_bar=1", "unknown parameter foo_bar; allowed are heartbeat"),
    ("BROKER_URL", "AMQPS://h?heartbeat=x", "heartbeat must be a number"),
    ("BROKER_URL", "amqps://h?ssl_cert_reqs=maybe", "required, optional or none"),
    ("BROKER_URL", "amqp://h?ssl_ca_certs=/ca.pem", "unknown parameter ssl_ca_certs"),
    ("BROKER_URL", "amqp://h?login_method=x", "login_method must be one of PLAIN"),
    ("RESULT_BACKEND", "amqp://u:sw0rdfish@h", "RabbitMQ keeps no results"),
    ("RESULT_BACKEND", "redis://:sw0rdfish@h/abc", "the path must be the number of a database"),
    ("RESULT_BACKEND", "h:6379", "not a URL; use redis://"),
]


@pytest.mark.parametrize(("variable", "url", "message"), BAD_URLS)
def test_a_bad_url_names_its_variable_but_not_the_password(
    read_settings: Set, variable: str, url: str, message: str
) -> None:
    with pytest.raises(Misconfigured) as error:
        read_settings(**{f"SPOTISYNC_{variable}": url})
    assert str(error.value).startswith(f"invalid settings: SPOTISYNC_{variable}: ")
    assert message in str(error.value)
    assert "rdfish" not in str(error.value)


@pytest.mark.parametrize(
    ("broker", "result_backend", "backend"),
    [
        ("redis://r/0", "", "redis://r/0"),
        ("redis://r/0", "redis://r/1", "redis://r/1"),
        ("amqp://rabbit", "redis://r/1", "redis://r/1"),
    ],
)
def test_the_result_backend_defaults_to_a_redis_broker(
    read_settings: Set, broker: str, result_backend: str, backend: str
) -> None:
    found = read_settings(SPOTISYNC_BROKER_URL=broker, SPOTISYNC_RESULT_BACKEND=result_backend)
    assert (found.broker, found.backend) == (broker, backend)
    assert found.broker_url


def test_with_rabbitmq_the_embedded_server_keeps_the_results(read_settings: Set) -> None:
    found = read_settings(SPOTISYNC_BROKER_URL="amqp://rabbit", SPOTISYNC_DATA_DIR="/srv/x")
    assert found.backend.startswith("redis+socket:///srv/x/sockets/")


def test_without_urls_both_servers_are_embedded(read_settings: Set) -> None:
    found = read_settings(SPOTISYNC_DATA_DIR="/srv/my data")
    assert found.embedded_postgres
    assert found.broker_url is None
    assert found.database.startswith("postgresql+psycopg://spotisync@/spotisync?host=/srv/my%20data/sockets")
    assert found.broker == found.backend
    assert found.broker.startswith("redis+socket:///srv/my%20data/sockets/valkey.sock")


def test_a_long_data_dir_has_its_sockets_in_a_short_directory(read_settings: Set) -> None:
    long = read_settings(SPOTISYNC_DATA_DIR=f"/srv/{'x' * 120}").socket_dir
    other = read_settings(SPOTISYNC_DATA_DIR=f"/srv/{'y' * 120}").socket_dir
    assert long.parent == other.parent == Path("/tmp")  # noqa: S108
    assert long != other
    assert len(os.fsencode(long)) <= MAX_SOCKET_DIR_BYTES
    assert read_settings(SPOTISYNC_DATA_DIR=f"/srv/{'x' * 120}").socket_dir == long


def test_a_relative_data_dir_has_an_absolute_socket(read_settings: Set) -> None:
    assert read_settings(SPOTISYNC_DATA_DIR="data").socket_dir.is_absolute()


def test_the_time_zone_is_the_configured_one_or_that_of_the_system(read_settings: Set) -> None:
    assert read_settings(SPOTISYNC_TIMEZONE="Europe/Oslo").zone == "Europe/Oslo"
    assert read_settings(SPOTISYNC_TIMEZONE="").zone


def test_a_missing_client_id_is_an_error_with_a_remedy(read_settings: Set) -> None:
    with pytest.raises(Misconfigured, match=r"SPOTIPY_CLIENT_ID.*https://developer.spotify.com/dashboard"):
        read_settings().require_client_id()


# ---- the secret key -------------------------------------------------------------------------------------------------


def test_splits_a_list_of_keys(read_settings: Set) -> None:
    assert read_settings(SPOTISYNC_SECRET_KEY=" a, b ,").secret_keys() == ["a", "b"]


def test_an_external_database_needs_a_key_and_says_how_to_make_one(read_settings: Set) -> None:
    with pytest.raises(Misconfigured, match=r"SPOTISYNC_SECRET_KEY.*generate_key"):
        read_settings(SPOTISYNC_DATABASE_URL="postgresql://db/x").secret_keys()


def test_an_embedded_database_has_a_private_persistent_key(read_settings: Set, tmp_path: Path) -> None:
    directory = tmp_path / "not" / "there"
    (key,) = read_settings(SPOTISYNC_DATA_DIR=str(directory)).secret_keys()
    Fernet(key)
    assert read_settings(SPOTISYNC_DATA_DIR=str(directory)).secret_keys() == [key]
    assert [path.name for path in directory.iterdir()] == ["secret.key"]
    assert stat.S_IMODE((directory / "secret.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("contents", [b"", b"\0" * 44, b"\xff\xfe", b"half of a key"])
def test_a_damaged_key_file_is_named(read_settings: Set, tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "secret.key").write_bytes(contents)
    with pytest.raises(Misconfigured, match=rf"secret key in {tmp_path}/secret\.key is damaged.*spotisync login"):
        read_settings(SPOTISYNC_DATA_DIR=str(tmp_path)).secret_keys()


def keys_of(directory: Path) -> list[str]:
    return Settings(_env_file=None, database_url=None, secret_key=None, data_dir=directory).secret_keys()


def test_processes_that_create_the_key_concurrently_agree_on_one(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("forkserver")) as pool:
        for round_ in range(10):
            directory = tmp_path / str(round_)
            made = list(pool.map(keys_of, [directory] * 4))
            assert len({tuple(keys) for keys in made}) == 1
            assert [path.name for path in directory.iterdir()] == ["secret.key"]


# ---- .env.example ---------------------------------------------------------------------------------------------------


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [line.removeprefix("#").partition("=") for line in lines if line.startswith(("#SPOT", "#OTEL"))]
    return {name: value for name, _, value in pairs}


def test_the_example_file_lists_every_variable_once_and_no_other() -> None:
    names = [
        str(field.validation_alias) if field.validation_alias else f"SPOTISYNC_{name.upper()}"
        for name, field in Settings.model_fields.items()
    ]
    listed = example()
    assert sorted(listed) == sorted(names)


def test_the_example_file_uncommented_changes_nothing(read_settings: Set, tmp_path: Path) -> None:
    plain = read_settings()
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in example().items()))
    assert read_settings() == plain


def test_flower_has_an_address_for_the_page_unless_it_is_disabled(read_settings: Set) -> None:
    assert read_settings().flower_url == "http://127.0.0.1:5555"
    assert read_settings(SPOTISYNC_FLOWER_PORT="0").flower_url is None
    with pytest.raises(Misconfigured, match=r"SPOTISYNC_FLOWER_AUTH: .*user:password"):
        read_settings(SPOTISYNC_FLOWER_AUTH="no-colon")


@pytest.mark.parametrize(
    ("history", "runs", "kept"), [("", "", 365), ("0", "0", 0), ("30", "", 30), ("0", "90", 90), ("900", "0", 900)]
)
def test_runs_are_kept_for_the_shorter_of_two_periods(read_settings: Set, history: str, runs: str, kept: int) -> None:
    found = read_settings(SPOTISYNC_RETENTION_DAYS=history, SPOTISYNC_RUN_RETENTION_DAYS=runs)
    assert found.shortest_run_retention == kept


HOSTILE = [
    "\udcff", "\u202egnp", "x" * 9_000, "-1", "9" * 5_000, "1e400", "nan", "[", "postgresql://[", "redis://[",
    "amqp://[::1", "redis://:pa[ss@h", "sentinel://;", "redis://h/\u00b2", "postgresql://h:99999/x", "//",
    "1 1 1 1 99999999999", "a:b,", "\n", " ", "%(x)s", "null", "true", "\u0663", "0x10", "/a/../b",
]  # fmt: skip
DERIVED = [
    "database",
    "migration_database",
    "broker",
    "backend",
    "sentinel_masters",
    "socket_dir",
    "notify_urls",
    "zone",
]
ANY_TEXT = st.text(st.characters(exclude_characters="\0"), max_size=30)


@pytest.mark.parametrize("field", Settings.model_fields)
def test_each_variable_takes_any_text_or_is_named(read_settings: Set, field: str) -> None:
    for value in HOSTILE:
        check_is_read_or_named(read_settings, field, value)


@settings_of_tests(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([*Settings.model_fields]),
    st.sampled_from(["", "postgresql://", "redis://", "sentinel://", "amqp://", "unix://"]),
    ANY_TEXT,
)
def test_any_variable_takes_any_text_or_is_named(read_settings: Set, field: str, scheme: str, text: str) -> None:
    check_is_read_or_named(read_settings, field, scheme + text)


def check_is_read_or_named(read_settings: Set, field: str, value: str) -> None:
    variable = str(Settings.model_fields[field].validation_alias or f"SPOTISYNC_{field.upper()}")
    for name in (variable, f"{variable}_FILE"):
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            continue  # not a value that an environment can have
        try:
            found = read_settings(**{name: value})
            for each in DERIVED:
                getattr(found, each)
        except Misconfigured as error:
            assert name in str(error)
            assert str(error).count("\n") <= value.count("\n")
        finally:
            os.environ.pop(name, None)
