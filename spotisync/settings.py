"""Everything the environment says, read in one place. `.env.example` lists every variable with its default."""

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import quote
from zoneinfo import available_timezones

import platformdirs
import tzlocal
from cronsim import CronSim, CronSimError
from cryptography.fernet import Fernet
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from spotisync.errors import Misconfigured

# The longest path a unix socket can have is 107 bytes on Linux and 103 on macOS; `.s.PGSQL.5432.lock` needs 19.
LONGEST_SOCKET_DIR = 80


def default_data_dir() -> Path:
    # Root's home is closed to the unprivileged user that Postgres then runs as.
    if sys.platform == "linux" and os.geteuid() == 0:
        return Path("/var/lib/spotisync")
    return Path(platformdirs.user_data_dir("spotisync", appauthor=False))


class Settings(BaseSettings):
    """One object, made once per process (`settings()`), handed to whoever needs it."""

    model_config = SettingsConfigDict(
        env_prefix="SPOTISYNC_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    # URLs may hold passwords.
    database_url: str | None = Field(None, repr=False)
    broker_url: str | None = Field(None, repr=False)
    result_backend: str | None = Field(None, repr=False)
    data_dir: Path = Field(default_factory=default_data_dir)

    client_id: str | None = Field(None, validation_alias="SPOTIPY_CLIENT_ID")
    client_secret: str | None = Field(None, validation_alias="SPOTIPY_CLIENT_SECRET", repr=False)
    redirect_uri: str = Field("http://127.0.0.1:8420/accounts/callback", validation_alias="SPOTIPY_REDIRECT_URI")
    spotify_api_url: str = "https://api.spotify.com/v1"
    spotify_accounts_url: str = "https://accounts.spotify.com"
    secret_key: str | None = Field(None, repr=False)

    host: str = "127.0.0.1"
    port: int = Field(8420, ge=0, le=65535)
    api_token: str | None = Field(None, repr=False)
    allowed_hosts: str = ""
    flower_port: int = Field(5555, ge=0, le=65535)
    flower_auth: str | None = Field(None, repr=False)

    timezone: str | None = None
    full_sync_schedule: str = "0 4 * * 0"
    incremental_interval: NonNegativeInt = 1800
    playback_interval: NonNegativeInt = 600
    sweep_interval: PositiveInt = 10
    lease_seconds: PositiveInt = 120
    max_countdown: PositiveInt = 60

    tracks_batch_size: PositiveInt = 200
    artists_batch_size: PositiveInt = 100
    albums_batch_size: PositiveInt = 100
    playlists_batch_size: PositiveInt = 50
    api_concurrency: PositiveInt = 4
    api_rate: NonNegativeInt = 90
    api_timeout: PositiveInt = 30

    enrichment: Literal["auto", "always", "off"] = "auto"
    enrichment_budget: PositiveInt = 500
    refresh_days: NonNegativeInt = 180

    retention_days: NonNegativeInt = 0

    # Addresses hold tokens and passwords.
    notify: str | None = Field(None, repr=False)
    notify_after: PositiveInt = 3600

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] | None = None
    sign_of_life: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Each variable may lie in a file instead, which the variable's name with `_FILE` names: for secrets."""
        del file_secret_settings
        # By their names in small letters; the environment is stronger than `.env`.
        given = {**vars(dotenv_settings)["env_vars"], **vars(env_settings)["env_vars"]}
        files = InitSettingsSource(settings_cls, _from_files(settings_cls, given))
        return init_settings, files, env_settings, dotenv_settings

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: dict[str, object]) -> dict[str, object]:
        """But for the schedule: an empty one is off."""
        return {name: value for name, value in values.items() if value != "" or name == "full_sync_schedule"}

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError(f"there is no time zone {value!r}")
        return value

    @field_validator("full_sync_schedule")
    @classmethod
    def _cron_expression(cls, value: str) -> str:
        if value:
            _check_cron(value)
        return value

    @field_validator("flower_auth")
    @classmethod
    def _user_and_password(cls, value: str | None) -> str | None:
        if value is not None and not all(all(each.partition(":")[::2]) for each in value.split(",")):
            raise ValueError("it is user:password, or several with commas between")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("spotify_api_url", "spotify_accounts_url")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @property
    def embedded_postgres(self) -> bool:
        return self.database_url is None

    @property
    def embedded_broker(self) -> bool:
        return self.broker_url is None

    @property
    def socket_dir(self) -> Path:
        """Where the embedded servers put their sockets: inside the data dir, or in /tmp when that path is too long."""
        inside = self.data_dir.absolute() / "sockets"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_DIR:
            return inside
        name = hashlib.sha256(os.fsencode(self.data_dir.absolute())).hexdigest()[:12]
        return Path("/tmp") / f"spotisync-{os.geteuid()}-{name}"  # noqa: S108 (made 0700, its owner is checked)

    @property
    def database(self) -> str:
        """SQLAlchemy URL, always with psycopg 3."""
        if self.database_url is None:
            return f"postgresql+psycopg://spotisync@/spotisync?host={quote(str(self.socket_dir))}&port=5432"
        for plain in ("postgresql://", "postgres://"):
            if self.database_url.startswith(plain):
                return "postgresql+psycopg://" + self.database_url.removeprefix(plain)
        return self.database_url

    @property
    def _embedded_broker(self) -> str:
        return f"redis+socket://{quote(str(self.socket_dir))}/valkey.sock?virtual_host=0"

    @property
    def broker(self) -> str:
        return self.broker_url or self._embedded_broker

    @property
    def backend(self) -> str:
        if self.result_backend:
            return self.result_backend
        if self.broker.startswith(("redis", "rediss", "sentinel")):
            return self.broker
        return self._embedded_broker

    @property
    def stall_seconds(self) -> float:
        """How long a published message may wait for a worker before sweep publishes it again; a copy does no harm."""
        return self.lease_seconds / 4

    @property
    def notify_urls(self) -> list[str]:
        """Separated by commas or spaces; what is inside of one may hold either."""
        return [
            url for url in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", (self.notify or "").strip(" ,\n")) if url
        ]

    @property
    def flower_url(self) -> str | None:
        """Where a browser on this machine finds Flower. None: it is off."""
        return f"http://127.0.0.1:{self.flower_port}" if self.flower_port else None

    @property
    def zone(self) -> str:
        """The time zone in which cron expressions are meant."""
        return self.timezone or tzlocal.get_localzone_name() or "UTC"

    def check_address(self) -> None:
        """Whoever can reach it could do everything, so that without a token nobody but this machine may."""
        if not (self.api_token or is_loopback(self.host)):
            raise Misconfigured(
                f"SPOTISYNC_HOST is {self.host}, which others can reach: that needs SPOTISYNC_API_TOKEN, which they "
                "then need too. Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'; "
                "or listen on 127.0.0.1"
            )

    def require_client_id(self) -> str:
        if not self.client_id:
            raise Misconfigured(
                "SPOTIPY_CLIENT_ID is not set. Create an app at https://developer.spotify.com/dashboard and put its "
                "client id into the environment or into .env"
            )
        return self.client_id

    def secret_keys(self) -> list[str]:
        """Fernet keys: the first encrypts, all decrypt. Generated in the data dir when Postgres is the embedded one."""
        if self.secret_key:
            return [key.strip() for key in self.secret_key.split(",") if key.strip()]
        if not self.embedded_postgres:
            raise Misconfigured(
                "SPOTISYNC_SECRET_KEY is not set. With an own SPOTISYNC_DATABASE_URL it is needed to encrypt refresh "
                "tokens; make one with: python -c "
                "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
            )
        return [_generated_key(self.data_dir / "secret.key")]


def is_loopback(host: str) -> bool:
    """A name is one by convention alone: only `localhost` is."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _from_files(cls: type[BaseSettings], given: Mapping[str, str | None]) -> dict[str, str]:
    """Read what `…_FILE` names, as the images of Postgres and others do."""
    found = {}
    for field, info in cls.model_fields.items():
        variable = str(info.validation_alias or _variable(field))
        if path := given.get(f"{variable}_FILE".lower()):
            if given.get(variable.lower()):
                raise Misconfigured(f"bad settings: {variable} and {variable}_FILE are both set; one of them is enough")
            found[field] = _content(variable, Path(path))
    return found


def _content(variable: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Misconfigured(f"bad settings: {variable}_FILE: {path} can't be read ({why})") from None


def _check_cron(value: str) -> None:
    if len(value.split()) != 5:
        raise ValueError(f"a cron expression has five fields, as 0 4 * * 0 has; {value!r} has not")
    try:
        times = CronSim(value, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"{value!r} is no cron expression: {str(error).lower()}") from None
    if next(times, None) is None:
        raise ValueError(f"{value!r} is a day that never comes")


def _generated_key(path: Path) -> str:
    """Read the key, or make it: written aside and linked into place, so that two processes agree on one."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(f".{secrets.token_hex(4)}")
        aside.touch(mode=0o600, exist_ok=False)
        aside.write_bytes(Fernet.generate_key())
        try:
            path.hardlink_to(aside)
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    return path.read_text().strip()


def bundled_path(name: str) -> Path:
    """`celeryconfig.py` and `migrations/`: at the top level of a checkout, inside the package in a wheel."""
    package = Path(__file__).parent
    return next(path for path in (package / name, package.parent / name) if path.exists())


@cache
def settings() -> Settings:
    """Read the environment and `.env`, once per process. Raises `Misconfigured` with each bad variable's name."""
    try:
        return Settings()
    except ValidationError as error:
        bad = "; ".join(f"{_variable(str(e['loc'][0]))}: {e['msg']}" for e in error.errors())
        raise Misconfigured(f"bad settings: {bad}") from None


def override(variables: Mapping[str, str]) -> Settings:
    """Let these hold for this process and all that it starts, whatever the environment or `.env` say."""
    os.environ.update({**variables, **{f"{name}_FILE": "" for name in variables}})  # noqa: TID251 (children inherit it)
    settings.cache_clear()
    return settings()


def _variable(field: str) -> str:
    return field if field.startswith("SPOTI") else f"SPOTISYNC_{field.upper()}"
