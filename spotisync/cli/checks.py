"""The checks of `spotisync doctor`. Each returns a finding: one line on the state, and how to fix it.

To add a check, add a function and call it in `run_checks`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from celery import Celery
from celery.backends.redis import RedisBackend
from redis.exceptions import ResponseError

from spotisync import telemetry
from spotisync.cli.context import open_context, open_database
from spotisync.cli.demo.environment import describe_database_outage
from spotisync.cli.exit_codes import FAILED, LOGIN_NEEDED, UNREACHABLE
from spotisync.core import broker_errors, hints, oauth, queues
from spotisync.core.apps import get_default_app
from spotisync.core.durations import format_duration
from spotisync.core.oauth import LOGIN
from spotisync.errors import Fatal, Misconfigured, NeedsLogin, Refused, SpotisyncError, Transient, Unavailable, Wait
from spotisync.settings import GENERATE_KEY, Settings
from spotisync.stack.directories import is_shared, server_user
from spotisync.status.messages import FROZEN_LISTS, SWEEPS, WaitState, describe_cooldown, describe_drift
from spotisync.store import accounts, apps, budgets, migrate, reply_shapes, schedules
from spotisync.store.accounts import Account, StoredTokens, TokenVault
from spotisync.store.apps import BacklogForecast
from spotisync.store.cooldowns import Cooldown
from spotisync.store.database import Database, get_server_time, get_server_version
from spotisync.store.reply_shapes import DriftAlarm
from spotisync.store.suitability import Obstacle, find_migration_obstacle, find_obstacle, find_read_only
from spotisync.store.waiters import UnansweredCaller
from spotisync.sync import Context, cooldowns
from spotisync.sync.accounts import check_spotify_answers
from spotisync.sync.callers import list_given_up
from spotisync.sync.runs import count_rejections

State = Literal["ok", "warning", "failed"]

QUEUES: Final = tuple(queues.WEIGHTS)
# Seconds. Above the first, message expiry and countdowns are wrong; above the second, token expiry is wrong too.
CLOCK_SKEW_LIMITS: Final = (2.0, 20.0)
START_WORKER: Final = "start one: spotisync up, or celery -A spotisync worker"
NO_EVICTION: Final = "set maxmemory-policy to noeviction on that server, or use a server of its own"
START_BEAT: Final = "start beat: spotisync up, or celery -A spotisync beat"


@dataclass(frozen=True)
class Finding:
    """The result of one check. `code`: the exit code of `spotisync doctor` if the check failed."""

    check: str
    state: State
    message: str
    cure: str | None = None
    code: int = FAILED


def run_checks(settings: Settings, *, online: bool) -> Iterator[Finding]:
    """Run the checks in order of dependency, and skip those whose prerequisites failed."""
    app, key = check_spotify_app(settings), check_secret_key(settings)
    yield from (app, key)
    yield from check_server_user(settings)
    yield from check_page(settings)
    yield from check_telemetry(settings)
    with open_database(settings) as database:
        server, is_current = check_database_server(settings, database)
        yield from server
        yield from _check_celery()
        if is_current:
            with database.begin() as connection:
                swept = schedules.get_last_heartbeat(connection, "sweep")
                now = get_server_time(connection)
            yield check_schedule(swept, now, settings.sweep_interval)
    if is_current and settings.client_id and key.state == "ok":
        with open_context(settings) as context:
            yield from _check_each_account(context, online=online)
            yield _check_backlog(context)
            with context.database.begin() as connection:
                now = get_server_time(connection)
                alarms = reply_shapes.list_open(connection, accounts.list_client_ids(connection, settings.client_id))
            yield from check_drift(alarms)
            yield from check_callers(list_given_up(context))
            yield from check_messages(count_rejections(context))
            yield from check_limits(cooldowns.list_cooldowns(context), now, settings.zone)


# ---- settings -------------------------------------------------------------------------------------------------------


def check_spotify_app(settings: Settings) -> Finding:
    try:
        settings.require_client_id()
    except Misconfigured as error:
        message, _, cure = str(error).partition(". ")
        return Finding("Spotify app", "failed", message, cure)
    try:
        oauth.parse_redirect_uri(settings.redirect_uri)
    except Misconfigured as error:
        message, _, cure = str(error).partition("\n")
        return Finding("Spotify app", "failed", message, cure)
    secret = "with a secret" if settings.client_secret else "without a secret (PKCE)"
    return Finding("Spotify app", "ok", f"client ID set, {secret}")


def check_secret_key(settings: Settings) -> Finding:
    if not settings.has_secret_key():
        message = f"{settings.data_dir / 'secret.key'} does not exist yet"
        return Finding("secret key", "warning", message, "none needed for a new library: the first start generates it")
    try:
        keys = settings.secret_keys()
        TokenVault(keys)
    except (Misconfigured, OSError) as error:
        message, _, cure = str(error).partition(". ")
        return Finding(
            "secret key", "failed", message, cure or f"set SPOTISYNC_SECRET_KEY to the output of: {GENERATE_KEY}"
        )
    return Finding("secret key", "ok", f"valid, {len(keys)} keys" if len(keys) > 1 else "valid")


def check_page(settings: Settings) -> Iterator[Finding]:
    """Nothing, unless `web` would refuse to start."""
    try:
        settings.check_address()
    except Misconfigured as error:
        message, _, cure = str(error).partition(". ")
        yield Finding("page", "failed", message, cure)


def check_server_user(settings: Settings) -> Iterator[Finding]:
    """Nothing, unless other processes run as the user of the embedded servers."""
    if (settings.embedded_postgres or settings.embedded_broker) and is_shared(server_user(settings.data_dir)):
        message = "started by root, the embedded servers run as `nobody`, whose other processes can reach their data"
        yield Finding("server user", "warning", message, "start spotisync as a normal user, or use servers of your own")


def check_telemetry(settings: Settings) -> Iterator[Finding]:
    """Nothing, unless OTEL_* variables ask for traces."""
    if not telemetry.is_requested(settings):
        return
    if problem := telemetry.find_problem(settings):
        message, _, cure = problem.partition(". ")
        yield Finding("traces", "warning", message, cure)
    else:
        yield Finding("traces", "ok", "sent to OpenTelemetry")


# ---- servers --------------------------------------------------------------------------------------------------------


def check_database_server(settings: Settings, database: Database) -> tuple[list[Finding], bool]:
    """Check the server, its schema and its clock. Returns also whether the schema is current."""

    def inspect() -> tuple[str, Obstacle | None]:
        with database.begin() as connection:
            obstacle = find_obstacle(connection) or find_read_only(connection)
            return get_server_version(connection), obstacle

    server = check_database(inspect, embedded=settings.embedded_postgres)
    if server.code == UNREACHABLE:
        return [replace(server, cure=describe_database_outage(settings))], False
    if server.state == "failed":
        return [server], False
    with database.begin() as connection:
        current = migrate.get_current_revision(connection)
    tables = check_tables(current, migrate.get_needed_revision())
    if tables.state == "failed" and migrate.find_newer_revision(current) is None:
        tables = _check_migration(settings, tables)
    return [server, tables, check_clock(_measure_skew(database))], tables.state == "ok"


def check_database(inspect: Callable[[], tuple[str, Obstacle | None]], *, embedded: bool) -> Finding:
    """`inspect` returns the server's version, and why the database can't be used."""
    try:
        version, obstacle = inspect()
    except Unavailable as error:
        message = str(error)
        message = message[:1].upper() + message[1:]
        return Finding("database", "failed", message, hints.database_hint(embedded=embedded), UNREACHABLE)
    if obstacle:
        return Finding("database", "failed", obstacle.message, obstacle.cure)
    return Finding("database", "ok", f"PostgreSQL {version}")


def check_tables(current: str | None, needed: str | None) -> Finding:
    if current == needed:
        return Finding("tables", "ok", f"schema is up to date, at revision {current}")
    if newer := migrate.find_newer_revision(current):
        return Finding("tables", "failed", newer.message, newer.cure)
    message = f"schema is at revision {current or 'none'}, this version needs {needed}"
    return Finding("tables", "failed", message, hints.MIGRATE)


def _check_migration(settings: Settings, outdated: Finding) -> Finding:
    """Name what `spotisync db upgrade` would refuse, instead of that command."""
    try:
        with closing(Database(settings.migration_database)) as database, database.begin() as connection:
            obstacle = find_migration_obstacle(connection)
    except Unavailable as error:
        return Finding("tables", "failed", f"{outdated.message}; {error}", "check SPOTISYNC_MIGRATION_DATABASE_URL")
    return (
        Finding("tables", "failed", f"{outdated.message}; {obstacle.message}", obstacle.cure) if obstacle else outdated
    )


def check_clock(skew: float) -> Finding:
    """`skew`: seconds by which the database's clock is ahead of this machine's."""
    seconds = abs(skew)
    if seconds <= CLOCK_SKEW_LIMITS[0]:
        return Finding("clock", "ok", "this machine and the database agree")
    message = f"this machine is {format_duration(seconds)} {'behind' if skew > 0 else 'ahead of'} the database"
    state: State = "warning" if seconds <= CLOCK_SKEW_LIMITS[1] else "failed"
    return Finding("clock", state, message, "synchronise both clocks by NTP")


def _measure_skew(database: Database) -> float:
    with database.begin() as connection:
        before = time.time()
        server_time = get_server_time(connection).timestamp()
        return server_time - (before + time.time()) / 2


def _check_celery() -> Iterator[Finding]:
    from spotisync.celery import app

    broker = check_broker(app)
    yield broker
    yield check_result_backend(app)
    if broker.state != "failed":
        yield check_workers(get_worker_queues(app, QUEUES), QUEUES)


def check_broker(app: Celery) -> Finding:
    """Check that it accepts what every publisher and worker does first."""
    from spotisync.celery import declare_queues

    connection = app.connection_for_write()
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=3)
        declare_queues(app, connection)
        channel: Any = connection.default_channel
        evicts = find_eviction(channel.client if connection.transport.driver_type == "redis" else None)
    except Exception as error:  # noqa: BLE001 (each transport raises its own types)
        message, cure = broker_errors.explain(error, app.conf.broker_url, "SPOTISYNC_BROKER_URL")
        return Finding("broker", "failed", f"{connection.as_uri()} {message}", cure, UNREACHABLE)
    finally:
        connection.release()
    if evicts:
        return Finding("broker", "warning", f"{connection.as_uri()} may delete messages: {evicts}", NO_EVICTION)
    return Finding("broker", "ok", connection.as_uri())


def check_result_backend(app: Celery) -> Finding:
    uri = app.backend.as_uri()
    client = app.backend.client if isinstance(app.backend, RedisBackend) else None
    try:
        app.backend.get_state("spotisync-doctor")
        if client:
            client.set("spotisync-doctor", "a write, to see whether it is accepted", ex=60)
        evicts = find_eviction(client)
    except Exception as error:  # noqa: BLE001 (each backend raises its own types)
        message, cure = broker_errors.explain(error, app.conf.result_backend or "", "SPOTISYNC_RESULT_BACKEND")
        return Finding("results", "failed", f"{uri} {message}", cure, UNREACHABLE)
    if evicts:
        return Finding("results", "warning", f"{uri} may delete results: {evicts}", NO_EVICTION)
    return Finding("results", "ok", uri)


def find_eviction(client: Any) -> str | None:
    """The policy by which this Redis deletes data when its memory is full, if it does and says so."""
    try:
        memory = client.info("memory") if client else {}
    except ResponseError:  # hosts and ACLs may forbid it
        return None
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    return f"maxmemory-policy is {policy}" if memory.get("maxmemory") and policy != "noeviction" else None


# ---- workers and beat -----------------------------------------------------------------------------------------------


def get_worker_queues(app: Celery, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Ask each worker for the queues that it consumes; ask again, with a longer timeout, if a queue is missing."""
    found: dict[str, list[str]] = {}
    for seconds in (0.7, 3.0):
        answers: dict[str, Any] = app.control.inspect(timeout=seconds).active_queues() or {}
        found = {worker: [queue["name"] for queue in queues] for worker, queues in answers.items()}
        if set(wanted) <= {name for names in found.values() for name in names}:
            break
    return found


def check_workers(queues: dict[str, list[str]], wanted: Sequence[str]) -> Finding:
    """`queues`: of each worker, those that it consumes."""
    ours = ", ".join(sorted(worker for worker, names in queues.items() if set(names) & set(wanted)))
    if not ours:
        return Finding("workers", "failed", "no worker answers, so nothing is synced", START_WORKER)
    consumed = {name for names in queues.values() for name in names}
    if missing := [name for name in wanted if name not in consumed]:
        message = f"none of {ours} consumes {' or '.join(missing)}"
        return Finding("workers", "failed", message, f"start one with -Q {','.join(wanted)}, or without -Q")
    return Finding("workers", "ok", f"{ours}; every queue is consumed")


def check_schedule(swept: datetime | None, now: datetime, interval: int) -> Finding:
    """Beat publishes a sweep every `interval` seconds; `swept` is when a worker last ran one."""
    if swept is None:
        return Finding("schedule", "failed", "beat has never run, so nothing is scheduled or resumed", START_BEAT)
    age = (now - swept).total_seconds()
    if age > SWEEPS * interval:
        message = f"no sweep for {format_duration(age)}, so nothing is scheduled or resumed"
        return Finding("schedule", "failed", message, f"if workers run, beat does not; {START_BEAT}")
    return Finding("schedule", "ok", f"beat is running; last sweep {format_duration(age)} ago")


# ---- accounts and Spotify -------------------------------------------------------------------------------------------


def _check_each_account(context: Context, *, online: bool) -> Iterator[Finding]:
    with context.database.begin() as connection:
        now = get_server_time(connection)
        found = accounts.list_accounts(connection)
        tokens = {each.id: accounts.get_tokens(connection, each.id) for each in found}
        granted = {each.id: accounts.get_scope(connection, each.id) for each in found}
    yield check_accounts(found)
    for account in found:
        if account.status == "disabled":
            continue
        if account.own_client_id:
            yield check_own_app(account, context.vault)
        token = check_token(account, tokens[account.id], context.vault, now)
        yield token
        if scopes := check_scopes(account, granted[account.id]):
            yield scopes
        if online and token.state != "failed":
            yield check_spotify_access(account, lambda each: check_spotify_answers(context, each))


def check_accounts(found: Sequence[Account]) -> Finding:
    if not found:
        return Finding("accounts", "warning", "no account yet", f"log in: {LOGIN}")
    return Finding("accounts", "ok", ", ".join(f"{each.spotify_user_id} ({each.status})" for each in found))


def check_own_app(account: Account, vault: TokenVault) -> Finding:
    """Check that the account's own app can be used. Whether Spotify accepts it, its token shows."""
    check = f"Spotify app of {account.spotify_user_id}"
    try:
        app = account.get_own_app(vault.decrypt)
    except Misconfigured:
        again = f"{LOGIN} --account {account.spotify_user_id} --client-id {account.own_client_id}"
        message = "its secret is encrypted with a key that is not in SPOTISYNC_SECRET_KEY"
        return Finding(check, "failed", message, f"add that key to SPOTISYNC_SECRET_KEY; if it is lost: {again}")
    secret = "with a secret" if app and app.client_secret else "without a secret (PKCE)"
    return Finding(check, "ok", f"client ID {account.own_client_id}, {secret}")


def check_token(account: Account, stored: StoredTokens, vault: TokenVault, now: datetime) -> Finding:
    check, own_app = f"token of {account.spotify_user_id}", account.own_client_id is not None
    login = f"log in again: {LOGIN}" + (f" --account {account.spotify_user_id}" if own_app else "")
    if account.status == "needs_login" or stored.refresh_token is None:
        message = f"login needed: {account.last_error or 'no refresh token is stored'}"
        return Finding(check, "failed", message, login, LOGIN_NEEDED)
    try:
        vault.decrypt(stored.refresh_token)
    except Misconfigured:
        cure = f"add that key to SPOTISYNC_SECRET_KEY; if it is lost, {login}"
        return Finding(check, "failed", "encrypted with a key that is not in SPOTISYNC_SECRET_KEY", cure)
    login_state = oauth.get_login_state(
        account.spotify_user_id, account.status, account.authorised_at, None, account.last_error, now, own_app=own_app
    )
    if login_state.warning:
        message, _, cure = login_state.warning.partition("; ")
        return Finding(check, "warning", message, cure)
    return Finding(check, "ok", "stored and readable")


def check_scopes(account: Account, granted: str | None) -> Finding | None:
    """None while the granted scopes are unknown."""
    if granted is None:
        return None
    check = f"scopes of {account.spotify_user_id}"
    if missing := oauth.find_missing_scopes(granted):
        return Finding(check, "warning", f"not granted: {', '.join(missing)}", f"log in again: {LOGIN}")
    note = oauth.describe_optional_scopes(granted)
    return Finding(check, "ok", "all required scopes are granted" + (f"; {note}" if note else ""))


def check_spotify_access(account: Account, ask: Callable[[Account], None]) -> Finding:
    """Check that Spotify answers requests of this account."""
    check = f"Spotify as {account.spotify_user_id}"
    try:
        ask(account)
    except SpotisyncError as error:
        return _explain_refusal(check, error)
    return Finding(check, "ok", "answers")


def _explain_refusal(check: str, error: SpotisyncError) -> Finding:
    message, _, cure = str(error).partition("; ")
    match error:
        case NeedsLogin():
            return Finding(check, "failed", message, f"log in again: {LOGIN}", LOGIN_NEEDED)
        case Wait():
            return Finding(check, "warning", "not checked: all requests are waiting", "see: spotisync limits list")
        case Refused():
            cure = f"check at {oauth.DASHBOARD} that the app's owner has Premium and this user is on the app's list"
            return Finding(check, "failed", str(error), cure)
        case Transient() | Unavailable():
            cure = "try again later; check this machine's network access"
            return Finding(check, "failed", str(error), cure, UNREACHABLE)
        case Fatal():
            return Finding(check, "failed", message, cure or None)
    return Finding(check, "failed", str(error))


def _check_backlog(context: Context) -> Finding:
    settings = context.settings
    app = get_default_app(settings)
    with context.database.begin() as connection:
        regime = apps.get_regime(connection, app.client_id)
        allowances = budgets.list_lookup_allowances(connection, budgets.find_developer(settings, app))
        forecasts = apps.forecast_lookups(connection, app, settings.enrichment, settings.enrichment_budget, allowances)
    return check_lookups(regime, forecasts, settings.zone)


def check_lookups(regime: str | None, forecasts: Sequence[BacklogForecast], zone: str) -> Finding:
    """Report which Spotify API the app has, and when all pending artists and albums will have been looked up."""
    parts = [f"{regime} API" if regime else "unknown until the first sync"]
    for each in forecasts:
        if each.pending and each.way in {"together", "singly"}:
            done = f", done about {each.done_at.astimezone(ZoneInfo(zone)):%Y-%m-%d}" if each.done_at else ""
            parts.append(f"{each.pending:,} {each.family} to look up{done}")
    return Finding("Spotify's API", "ok", "; ".join(parts))


def check_drift(alarms: Sequence[DriftAlarm]) -> list[Finding]:
    """Report changes of Spotify's replies."""
    check = "Spotify's replies"
    if not alarms:
        return [Finding(check, "ok", "no change of their form is known")]
    return [
        Finding(check, "warning", describe_drift(each.kind, each.endpoint, each.key), _drift_cure(each))
        for each in alarms
    ]


def _drift_cure(alarm: DriftAlarm) -> str:
    if alarm.kind == "regime":
        return "none needed; spotisync adapts (docs/waiting-and-limits.md), and this note ends after a week"
    cure = (
        "update spotisync; if the newest version says the same, report it with the output of: spotisync doctor --json"
    )
    if alarm.kind == "missing_key" and alarm.endpoint in FROZEN_LISTS:
        cure += ". To apply removals nevertheless: spotisync doctor --accept-drift"
    return cure


def check_callers(given_up: Sequence[UnansweredCaller]) -> Iterator[Finding]:
    """Nothing, unless callers of the last days could not be answered; newest first."""
    if given_up:
        last = given_up[0]
        run = f"run {last.sync_id}" if last.sync_id else "a removed run"
        message = f"{len(given_up)} not answered in the last week, the last one {last.task_id} of {run} ({last.reason})"
        cure = "their links and callbacks were not sent: correct what they send, and call them again"
        yield Finding("callers", "warning", message, cure)


def check_messages(rejected: float) -> Iterator[Finding]:
    """Nothing, unless workers have ever removed a message. No time is known, so this is no warning."""
    if rejected:
        message = (
            f"{rejected:,.0f} malformed or surplus messages were removed from the broker; the workers' logs name each"
        )
        yield Finding("messages", "ok", message)


def check_limits(found: Sequence[Cooldown], now: datetime, zone: str) -> list[Finding]:
    if not found:
        return [Finding("limits", "ok", "no cooldown")]
    document = {"as_of": now.isoformat(), "time_zone": zone}
    cure = "none needed; it expires. {}: spotisync limits clear{}"
    return [
        Finding(
            f"limits of {each.developer}" if each.developer else "limits",
            "warning",
            describe_cooldown(document, WaitState(each.until, each.family, each.reason)),
            cure.format(
                "To end it before" if each.reason == "manual" else "If Spotify has lifted it already",
                " --account NAME" if each.developer else "",
            ),
        )
        for each in found
    ]
