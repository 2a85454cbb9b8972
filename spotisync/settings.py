"""Settings, read from the environment and `.env`. `.env.example` lists every variable with its default."""

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote
from zoneinfo import available_timezones

import platformdirs
import tzlocal
from cronsim import CronSim, CronSimError
from cryptography.fernet import Fernet
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from spotisync import urls
from spotisync.errors import Misconfigured

# The path of a Unix socket is at most 107 bytes on Linux and 103 on macOS; `/.s.PGSQL.5432.lock` takes 19.
MAX_SOCKET_DIR_BYTES = 80
MIN_TOKEN_LENGTH = 16
CLOCK_TOLERANCE_SECONDS = 300
"""How far the clock of a worker may be ahead of that of beat before it takes new messages for expired ones."""
GENERATE_TOKEN = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"  # noqa: S105 (a command)
GENERATE_KEY = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


def default_data_dir() -> Path:
    # For root, Postgres runs as an unprivileged user, which can't enter root's home directory.
    if sys.platform == "linux" and os.geteuid() == 0:
        return Path("/var/lib/spotisync")
    return Path(platformdirs.user_data_dir("spotisync", appauthor=False))


def _check_data_dir(path: Path) -> Path:
    """A URL contains the path of the sockets, and URLs are text."""
    text = str(path)
    if "\0" in text or text.encode(errors="replace").decode() != text:
        raise ValueError("the path must be UTF-8 text; use another directory")
    return path


def _check_timezone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"unknown time zone {value!r}; use a name such as Europe/Amsterdam")
    return value


def _check_flower_auth(value: str) -> str:
    if not all(all(each.partition(":")[::2]) for each in value.split(",")):
        raise ValueError("use user:password, or several pairs separated by commas")
    return value


def _check_schedule(value: str) -> str:
    """An empty value switches the schedule off."""
    if not value:
        return value
    if len(value.split()) != 5:
        raise ValueError(f"{value!r} is not a cron expression of five fields, such as 0 4 * * 0")
    try:
        times = CronSim(value, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"{value!r} is not a cron expression: {str(error).lower()}") from None
    if next(times, None) is None:
        raise ValueError(f"{value!r} never matches a date")
    return value


def _check_database_url(value: str) -> str:
    """Refuse also hosts and ports that SQLAlchemy refuses when the URL is used."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    parsed = urls.parse_database_url(value)
    try:
        address = make_url(parsed)
        address.get_dialect()().create_connect_args(address)
    except (ArgumentError, ValueError):
        raise ValueError("each host needs one port: postgresql://user@host1:5432,host2:5432/database") from None
    return value


def _check_broker_url(value: str) -> str:
    urls.parse_broker_url(value)
    return value


def _check_result_backend(value: str) -> str:
    urls.parse_result_url(value)
    return value


def is_root_path(path: str) -> bool:
    return re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", path) is not None


def _check_root_path(value: str) -> str:
    path = value.rstrip("/")
    if path and not is_root_path(path):
        raise ValueError("use a path such as /spotify: it begins with / and consists of letters, digits and -._~")
    return path


def _check_proxies(value: str) -> str:
    for each in value.split(","):
        try:
            ip_network(each.strip())
        except ValueError as error:
            raise ValueError(f"{error}; use addresses or networks such as 127.0.0.1,172.16.0.0/12") from None
    return value


DatabaseUrl = Annotated[str, AfterValidator(_check_database_url)]

# URLs are used as prefixes of paths.
BaseUrl = Annotated[str, AfterValidator(lambda url: url.rstrip("/"))]


class Settings(BaseSettings):
    """All settings. `settings()` returns the one instance of the process."""

    model_config = SettingsConfigDict(
        env_prefix="SPOTISYNC_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    # URLs can contain passwords.
    database_url: DatabaseUrl | None = Field(None, repr=False)
    database_pooler: bool | None = None
    migration_database_url: DatabaseUrl | None = Field(None, repr=False)
    broker_url: Annotated[str, AfterValidator(_check_broker_url)] | None = Field(None, repr=False)
    result_backend: Annotated[str, AfterValidator(_check_result_backend)] | None = Field(None, repr=False)
    data_dir: Annotated[Path, AfterValidator(_check_data_dir)] = Field(default_factory=default_data_dir)

    client_id: str | None = Field(None, validation_alias="SPOTIPY_CLIENT_ID")
    client_secret: str | None = Field(None, validation_alias="SPOTIPY_CLIENT_SECRET", repr=False)
    redirect_uri: str = Field("http://127.0.0.1:8420/accounts/callback", validation_alias="SPOTIPY_REDIRECT_URI")
    spotify_api_url: BaseUrl = "https://api.spotify.com/v1"
    spotify_accounts_url: BaseUrl = "https://accounts.spotify.com"
    secret_key: str | None = Field(None, repr=False)
    # Whose app this is: Spotify counts quotas by developer account.
    developer: str | None = None

    host: str = "127.0.0.1"
    port: int = Field(8420, ge=0, le=65535)
    api_token: str | None = Field(None, repr=False)
    allowed_hosts: str = ""
    root_path: Annotated[str, AfterValidator(_check_root_path)] = ""
    trusted_proxies: Annotated[str, AfterValidator(_check_proxies)] = "127.0.0.1,::1"
    flower_port: int = Field(5555, ge=0, le=65535)
    flower_auth: Annotated[str, AfterValidator(_check_flower_auth)] | None = Field(None, repr=False)

    timezone: Annotated[str, AfterValidator(_check_timezone)] | None = None
    full_sync_schedule: Annotated[str, AfterValidator(_check_schedule)] = "0 4 * * 0"
    incremental_interval: NonNegativeInt = 1800
    playback_interval: NonNegativeInt = 600
    # Whether saved shows, episodes and audiobooks are read.
    podcasts: bool = True
    sweep_interval: PositiveInt = 10
    lease_seconds: PositiveInt = 120
    max_countdown: PositiveInt = 60

    tracks_batch_size: PositiveInt = 200
    artists_batch_size: PositiveInt = 100
    albums_batch_size: PositiveInt = 100
    playlists_batch_size: PositiveInt = 50
    api_concurrency: PositiveInt = 4
    # Requests per 30 s. `auto`: learned.
    api_rate: NonNegativeInt | Literal["auto"] = 90
    api_timeout: PositiveInt = 30

    enrichment: Literal["auto", "always", "off"] = "auto"
    enrichment_budget: PositiveInt = 500
    refresh_days: NonNegativeInt = 180

    # Calls per rolling 24 hours of each family, for the developer account of SPOTIPY_CLIENT_ID; None: learned.
    budget_library: PositiveInt | None = None
    budget_playlists: PositiveInt | None = None
    budget_artists: PositiveInt | None = None
    budget_albums: PositiveInt | None = None
    budget_player: PositiveInt | None = None

    retention_days: NonNegativeInt = 0
    run_retention_days: NonNegativeInt = 365

    # Apprise URLs contain tokens and passwords.
    notify: str | None = Field(None, repr=False)
    notify_after: PositiveInt = 3600

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = "INFO"
    log_format: Literal["text", "json"] | None = None
    sign_of_life: Path | None = None

    # Standard variables of OpenTelemetry (see `export_otel_variables`). A header may be a password.
    otel_sdk_disabled: str | None = Field(None, validation_alias="OTEL_SDK_DISABLED")
    otel_traces_exporter: str | None = Field(None, validation_alias="OTEL_TRACES_EXPORTER")
    otel_exporter_otlp_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT", repr=False)
    otel_exporter_otlp_traces_endpoint: str | None = Field(
        None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", repr=False
    )
    otel_exporter_otlp_protocol: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL")
    otel_exporter_otlp_traces_protocol: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
    otel_exporter_otlp_headers: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_HEADERS", repr=False)
    otel_service_name: str | None = Field(None, validation_alias="OTEL_SERVICE_NAME")
    otel_resource_attributes: str | None = Field(None, validation_alias="OTEL_RESOURCE_ATTRIBUTES")
    otel_traces_sampler: str | None = Field(None, validation_alias="OTEL_TRACES_SAMPLER")
    otel_traces_sampler_arg: str | None = Field(None, validation_alias="OTEL_TRACES_SAMPLER_ARG")
    otel_python_disabled_instrumentations: str | None = Field(
        None, validation_alias="OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add the source `…_FILE`: a variable's value can be read from a file, such as a mounted secret."""
        del file_secret_settings
        # Keys are lower case. The environment overrides `.env`.
        variables = {**vars(dotenv_settings)["env_vars"], **vars(env_settings)["env_vars"]}
        files = InitSettingsSource(settings_cls, _read_files(settings_cls, variables))
        return init_settings, files, env_settings, dotenv_settings

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: dict[str, object]) -> dict[str, object]:
        """Treat empty values as unset, except the schedule, which an empty value switches off."""
        return {name: value for name, value in values.items() if value != "" or name == "full_sync_schedule"}

    def get_batch_size(self, phase: str, factor: int) -> int:
        """Items of a batch. `factor`: how many times the usual ones, unless the operator has set their number."""
        name = f"{phase}_batch_size"
        size: int = getattr(self, name)
        return size if name in self.model_fields_set else size * factor

    @property
    def budgets(self) -> dict[str, int]:
        """Calls per 24 hours, of the families for which the operator has set them."""
        families = ("library", "playlists", "artists", "albums", "player")
        return {family: calls for family in families if (calls := getattr(self, f"budget_{family}")) is not None}

    @property
    def embedded_postgres(self) -> bool:
        return self.database_url is None

    @property
    def socket_dir(self) -> Path:
        """Directory of the embedded servers' sockets: in the data dir, or in /tmp if that path is too long."""
        inside = self.data_dir.absolute() / "sockets"
        if len(os.fsencode(inside)) <= MAX_SOCKET_DIR_BYTES:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data_dir.absolute())).hexdigest()[:12]
        return Path("/tmp") / f"spotisync-{os.geteuid()}-{digest}"  # noqa: S108 (created 0700, its owner is checked)

    @property
    def database(self) -> str:
        """URL of the database for `spotisync.store`; see `urls.parse_database_url`."""
        if self.database_url is None:
            return f"postgresql+psycopg://spotisync@/spotisync?host={quote(str(self.socket_dir))}&port=5432"
        return urls.parse_database_url(self.database_url, pooler=self.database_pooler)

    @property
    def migration_database(self) -> str:
        """URL for migrations, which need a session of their own."""
        return urls.parse_database_url(self.migration_database_url) if self.migration_database_url else self.database

    @property
    def _embedded_broker(self) -> str:
        return f"redis+socket://{quote(str(self.socket_dir))}/valkey.sock?virtual_host=0"

    @property
    def embedded_broker(self) -> bool:
        """Whether the embedded Valkey is the broker or the result backend."""
        return any(str(self.socket_dir) in url for url in (self.broker, self.backend))

    @property
    def broker(self) -> str:
        if self.broker_url is None:
            return self._embedded_broker
        return urls.without_options(urls.parse_broker_url(self.broker_url))

    @property
    def broker_ssl(self) -> dict[str, Any]:
        """Celery's `broker_use_ssl`; empty for a broker without TLS."""
        return urls.get_ssl_options(urls.parse_broker_url(self.broker_url)) if self.broker_url else {}

    @property
    def backend(self) -> str:
        if self.result_backend:
            return urls.without_options(urls.parse_result_url(self.result_backend))
        if self.broker.startswith(("redis", "rediss", "sentinel")):
            return self.broker
        return self._embedded_broker

    @property
    def sentinel_masters(self) -> tuple[str | None, str | None]:
        """Names of the masters of broker and result backend, as far as they are behind Sentinel."""
        broker = urls.get_sentinel_master(self.broker_url or "")
        return broker, urls.get_sentinel_master(self.result_backend) if self.result_backend else broker

    @property
    def shortest_run_retention(self) -> int:
        """Days that runs and their events are kept; 0: forever. History is not kept longer than its runs."""
        return min(filter(None, (self.retention_days, self.run_retention_days)), default=0)

    @property
    def stall_seconds(self) -> float:
        """Seconds that a published message can wait for a worker before the sweep republishes it (harmless)."""
        return self.lease_seconds / 4

    @property
    def notify_urls(self) -> list[str]:
        """Apprise URLs, separated by commas or whitespace. A URL can contain both, so split only before a scheme."""
        urls = re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", (self.notify or "").strip(" ,\n"))
        return [url for url in urls if url]

    @property
    def flower_url(self) -> str | None:
        """URL of Flower on this machine, or None if it is off."""
        return f"http://127.0.0.1:{self.flower_port}" if self.flower_port else None

    @property
    def zone(self) -> str:
        """Name of the time zone of cron expressions."""
        return self.timezone or tzlocal.get_localzone_name() or "UTC"

    def check_address(self) -> None:
        """Refuse to listen on a non-loopback address without a token: the API and the page allow everything.

        A token that can be guessed is refused on any address.
        """
        if self.api_token and len(self.api_token) < MIN_TOKEN_LENGTH:
            raise Misconfigured(
                f"SPOTISYNC_API_TOKEN is too short: {len(self.api_token)} of at least {MIN_TOKEN_LENGTH} characters. "
                f"Generate a token: {GENERATE_TOKEN}"
            )
        if not (self.api_token or is_loopback(self.host)):
            raise Misconfigured(
                f"SPOTISYNC_HOST is {self.host}, which other machines can reach, but SPOTISYNC_API_TOKEN is not set. "
                f"Generate a token: {GENERATE_TOKEN}; or set SPOTISYNC_HOST to 127.0.0.1"
            )

    def require_client_id(self) -> str:
        if not self.client_id:
            raise Misconfigured(
                "SPOTIPY_CLIENT_ID is not set. Create an app at https://developer.spotify.com/dashboard and set the "
                "variable to its client ID, in the environment or in .env"
            )
        return self.client_id

    def has_secret_key(self) -> bool:
        """False if `secret_keys` would generate one."""
        return bool(self.secret_key) or not self.embedded_postgres or self._key_file.exists()

    @property
    def _key_file(self) -> Path:
        return self.data_dir / "secret.key"

    def secret_keys(self) -> list[str]:
        """Fernet keys: the first encrypts, all decrypt. For the embedded database, one is generated."""
        if self.secret_key:
            return [key.strip() for key in self.secret_key.split(",") if key.strip()]
        if not self.embedded_postgres:
            raise Misconfigured(
                "SPOTISYNC_SECRET_KEY is not set. With SPOTISYNC_DATABASE_URL set, it is required to encrypt refresh "
                f"tokens. Generate a key: {GENERATE_KEY}"
            )
        return [_read_or_generate_key(self._key_file)]


def is_loopback(host: str) -> bool:
    """Whether this address is loopback. Of host names only `localhost` is; none is resolved."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _read_files(cls: type[BaseSettings], variables: Mapping[str, str | None]) -> dict[str, str]:
    """Read the files that `…_FILE` variables name, a convention of the official Postgres image."""
    contents = {}
    for field, info in cls.model_fields.items():
        name = str(info.validation_alias or _variable_name(field))
        if path := variables.get(f"{name}_FILE".lower()):
            if variables.get(name.lower()):
                raise Misconfigured(f"invalid settings: {name} and {name}_FILE are both set; unset one of them")
            contents[field] = _read_file(name, Path(path))
    return contents


def _read_file(variable: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise Misconfigured(f"invalid settings: {variable}_FILE: can't read {path} ({reason})") from None


def _read_or_generate_key(path: Path) -> str:
    """Return the key in this file; generate it if the file does not exist.

    A new key is written to a temporary file and linked into place, so that concurrent processes agree on one key.
    """
    try:
        if not path.exists():
            _generate_key(path)
        key = path.read_text(errors="replace").strip()
    except OSError as error:
        raise Misconfigured(
            f"can't keep the secret key in {path} ({error.strerror}): set SPOTISYNC_SECRET_KEY, or another "
            "SPOTISYNC_DATA_DIR"
        ) from None
    try:
        Fernet(key)
    except ValueError:
        raise Misconfigured(
            f"the secret key in {path} is damaged. Restore your copy of that file; if there is none, remove it and "
            "log in again: spotisync login"
        ) from None
    return key


def _generate_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{secrets.token_hex(4)}")
    temporary.touch(mode=0o600, exist_ok=False)
    try:
        temporary.write_bytes(Fernet.generate_key())
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def bundled_path(name: str) -> Path:
    """Path of `celeryconfig.py` or `migrations/`: at the top of a checkout, inside the package in a wheel."""
    package = Path(__file__).parent
    return next(path for path in (package / name, package.parent / name) if path.exists())


@cache
def settings() -> Settings:
    """Read the settings, once per process. Raises `Misconfigured`, which names each invalid variable, not its value."""
    try:
        return Settings()
    except ValidationError as error:
        problems = (
            f"{_variable_name(str(each['loc'][0]))}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        )
        raise Misconfigured(f"invalid settings: {'; '.join(problems)}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Misconfigured(f"invalid settings: can't read {Path('.env').absolute()} ({reason})") from None


def override(variables: Mapping[str, str]) -> Settings:
    """Set variables for this process and its children. They override the environment and `.env`."""
    os.environ.update({**variables, **{f"{name}_FILE": "" for name in variables}})  # noqa: TID251 (children inherit it)
    settings.cache_clear()
    return settings()


def export_otel_variables(chosen: Settings) -> None:
    """Make the environment contain what `.env` and `…_FILE` say: OpenTelemetry's SDK reads nothing else.

    Empty variables are removed: the SDK takes some of them for invalid values.
    """
    for field in Settings.model_fields:
        if field.startswith("otel_"):
            os.environ.pop(field.upper(), None)  # noqa: TID251
            if value := getattr(chosen, field):
                os.environ[field.upper()] = value  # noqa: TID251


def _variable_name(field: str) -> str:
    return field if field.startswith(("SPOTI", "OTEL_")) else f"SPOTISYNC_{field.upper()}"
