"""Migrations, through Alembic; `migrations/` is found in a checkout and in a wheel alike."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from spotisync.errors import Unavailable
from spotisync.settings import bundled
from spotisync.store.database import CONNECT, is_lost


def _config() -> Config:
    config = Config()
    # A % in a path would be taken for an interpolation.
    config.set_main_option("script_location", str(bundled("migrations")).replace("%", "%%"))
    return config


@contextmanager
def _connected(url: str) -> Iterator[Config]:
    config = _config()
    engine = create_engine(url, connect_args=CONNECT)
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            yield config
    except DBAPIError as error:
        if is_lost(error):
            raise Unavailable(f"the database can't be reached: {str(error.orig).strip().splitlines()[0]}") from error
        raise
    finally:
        engine.dispose()


def _run(url: str, action: Callable[[Config], None]) -> None:
    with _connected(url) as config:
        action(config)


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the tables up to date. Two processes that do so at once wait for each other."""
    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Go back to a revision; `base` drops every table."""
    _run(url, lambda config: command.downgrade(config, revision))


def check(url: str) -> None:
    """Raise Alembic's error if the tables differ from the schema that this version was made with."""
    _run(url, command.check)


def current(url: str) -> tuple[str | None, str | None]:
    """The revision the database is at, and the one this version needs."""
    with _connected(url) as config:
        there = MigrationContext.configure(config.attributes["connection"]).get_current_revision()
        return there, ScriptDirectory.from_config(config).get_current_head()
