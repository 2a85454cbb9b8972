"""`spotisync doctor`: is all there that a sync needs, and if not, what to do."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.exit_codes import DONE, FAILED, LOGIN_NEEDED, UNREACHABLE
from spotisync.cli.options import AsJson
from spotisync.cli.output import console, print_json, print_text

if TYPE_CHECKING:
    from spotisync.cli.checks import Finding
    from spotisync.settings import Settings
    from spotisync.store.database import Database
    from spotisync.sync import Context

QUEUES: Final = ("spotisync.sync", "spotisync.control", "spotisync.playback")
STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask Spotify; without it, one call is made for each account.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Check the servers, the workers, the schedule, the logins and the limits; say the cure of what is wrong.

    Exit code: 0 if nothing has failed, 3 if a server can't be reached, 4 if an account has to log in, else 1.
    """
    from spotisync.settings import settings

    found: list[Finding] = []
    for finding in findings(settings(), online=not offline):
        found.append(finding)
        if not json:
            _print(finding)
    code = exit_code(found)
    if json:
        print_json({"ok": code == DONE, "findings": [_plain(each) for each in found]})
    else:
        failed = sum(each.state == "failed" for each in found)
        print_text(f"\n{failed} of {len(found)} checks failed." if failed else "\nNothing has failed.")
    raise typer.Exit(code)


def exit_code(found: "list[Finding]") -> int:
    codes = {each.code for each in found if each.state == "failed"}
    return next((code for code in (UNREACHABLE, LOGIN_NEEDED, FAILED) if code in codes), DONE)


def findings(settings: "Settings", *, online: bool) -> "Iterator[Finding]":
    """In the order in which things depend on each other; what can't be known is not asked."""
    from spotisync.cli import checks

    app, key = checks.spotify_app(settings), checks.secret_key(settings)
    yield from (app, key)
    with _opened(settings) as database:
        there, current = _database(settings, database)
        yield from there
        yield from _celery()
        if current:
            yield _schedule(settings, database)
    if current and settings.client_id and key.state == "ok":
        with _use_cases(settings) as context:
            yield from _accounts(context, online=online)
            yield _look_ups(context)
            yield from _limits(context)


@contextmanager
def _opened(settings: "Settings") -> "Iterator[Database]":
    from spotisync.store.database import Database

    database = Database(settings.database)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _use_cases(settings: "Settings") -> "Iterator[Context]":
    from spotisync.sync import Context

    context = Context.from_settings(settings)
    try:
        yield context
    finally:
        context.close()


def _database(settings: "Settings", database: "Database") -> "tuple[list[Finding], bool]":
    """What is found, and whether its tables can be read."""
    from spotisync.cli import checks
    from spotisync.store import migrate, server

    def version() -> str:
        with database.begin() as connection:
            return server.server_version(connection)

    found = [checks.database(version, embedded=settings.embedded_postgres)]
    if found[0].state == "failed":
        return found, False
    tables = checks.migrations(*migrate.revisions(settings.database))
    return [*found, tables, checks.clock(_skew(database))], tables.state == "ok"


def _skew(database: "Database") -> float:
    """Seconds by which the database's clock is before ours."""
    from spotisync.store import server

    with database.begin() as connection:
        began = time.time()
        theirs = server.server_time(connection).timestamp()
        return theirs - (began + time.time()) / 2


def _celery() -> "Iterator[Finding]":
    from spotisync.celery import app
    from spotisync.cli import checks

    broker = checks.broker(app)
    yield broker
    yield checks.backend(app)
    if broker.state == "ok":
        yield checks.workers(checks.queues_of_workers(app, QUEUES), QUEUES)


def _schedule(settings: "Settings", database: "Database") -> "Finding":
    from spotisync.cli import checks
    from spotisync.store import heartbeats, server

    with database.begin() as connection:
        return checks.schedule(
            heartbeats.last_heartbeat(connection, "sweep"), server.server_time(connection), settings.sweep_interval
        )


def _accounts(context: "Context", *, online: bool) -> "Iterator[Finding]":
    from spotisync.cli import checks
    from spotisync.store import accounts, server
    from spotisync.sync import probe

    with context.database.begin() as connection:
        now = server.server_time(connection)
        stored = [(each, accounts.get_tokens(connection, each.id)) for each in accounts.list_accounts(connection)]
        granted = {each.id: accounts.get_scope(connection, each.id) for each, _ in stored}
    yield checks.accounts([each for each, _ in stored])
    for account, tokens in stored:
        if account.status == "disabled":
            continue
        token = checks.token(account, tokens, context.vault, now)
        yield token
        yield from filter(None, [checks.scopes(account, granted[account.id])])
        if online and token.state != "failed":
            yield checks.spotify_answers(account, lambda each: probe.check_spotify_answers(context, each))


def _look_ups(context: "Context") -> "Finding":
    from spotisync.cli import checks
    from spotisync.store import apps

    settings = context.settings
    client_id = settings.require_client_id()
    with context.database.begin() as connection:
        regime = apps.get_regime(connection, client_id)
        found = apps.forecast(connection, client_id, settings.enrichment, settings.enrichment_budget)
    return checks.lookups(regime, found, settings.zone)


def _limits(context: "Context") -> "list[Finding]":
    from spotisync.cli import checks
    from spotisync.store import server
    from spotisync.sync import cooldowns

    with context.database.begin() as connection:
        now = server.server_time(connection)
    return checks.limits(cooldowns.list_cooldowns(context), now, context.settings.zone)


def _print(finding: "Finding") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(min_width=7)
    table.add_row(
        Text(finding.state, STYLES[finding.state]), Text.assemble((f"{finding.check}: ", "bold"), finding.words)
    )
    if finding.cure:
        table.add_row("", Text(f"Cure: {finding.cure}"))
    console().print(table)


def _plain(finding: "Finding") -> dict[str, str | None]:
    return {"check": finding.check, "state": finding.state, "message": finding.words, "cure": finding.cure}
