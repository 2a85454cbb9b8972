"""What `spotisync doctor` looks at: each check says how it stands, in a line, and what to do if it does not.

A further check is a further function here, called in `doctor`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from spotisync.cli.exit_codes import FAILED, LOGIN_NEEDED, UNREACHABLE
from spotisync.core import cures, oauth
from spotisync.core.durations import format_duration
from spotisync.core.oauth import LOGIN
from spotisync.errors import Fatal, Misconfigured, NeedsLogin, Refused, SpotisyncError, Transient, Unavailable, Wait
from spotisync.status.messages import SWEEPS, WaitState, describe_cooldown

if TYPE_CHECKING:
    from celery import Celery

    from spotisync.settings import Settings
    from spotisync.store.accounts import Account, StoredTokens, TokenVault
    from spotisync.store.apps import BacklogForecast
    from spotisync.store.cooldowns import Cooldown

State = Literal["ok", "warning", "failed"]

OLDEST_POSTGRES: Final = 14
# Beyond, messages that expire and countdowns are not where they should be; beyond the second, tokens neither.
SKEW: Final = (2.0, 20.0)
START_WORKER: Final = "start it: spotisync up, or celery -A spotisync worker"
START_BEAT: Final = "start it: spotisync up, or celery -A spotisync beat"


@dataclass(frozen=True)
class Finding:
    """How one thing stands. `code`: with what the command ends if this has failed."""

    check: str
    state: State
    words: str
    cure: str | None = None
    code: int = FAILED


# ---- settings -------------------------------------------------------------------------------------------------------


def spotify_app(settings: "Settings") -> Finding:
    try:
        settings.require_client_id()
    except Misconfigured as error:
        what, _, cure = str(error).partition(". ")
        return Finding("Spotify app", "failed", what, cure)
    try:
        oauth.parse_redirect_uri(settings.redirect_uri)
    except Misconfigured as error:
        what, _, cure = str(error).partition("\n")
        return Finding("Spotify app", "failed", what, cure)
    how = "with a secret" if settings.client_secret else "without a secret (PKCE)"
    return Finding("Spotify app", "ok", f"a client id is set, {how}")


def secret_key(settings: "Settings") -> Finding:
    from spotisync.store.accounts import TokenVault

    try:
        keys = settings.secret_keys()
        TokenVault(keys)
    except (Misconfigured, OSError) as error:
        what, _, cure = str(error).partition(". ")
        return Finding("secret key", "failed", what, cure or "put Fernet keys there, separated by commas")
    return Finding("secret key", "ok", "tokens can be encrypted" + (f", {len(keys)} keys" if len(keys) > 1 else ""))


# ---- servers --------------------------------------------------------------------------------------------------------


def database(read_version: Callable[[], str], *, embedded: bool) -> Finding:
    try:
        version = read_version()
    except Unavailable as error:
        return Finding("database", "failed", _upper(str(error)), cures.database_hint(embedded=embedded), UNREACHABLE)
    if int(version.partition(".")[0].partition(" ")[0]) < OLDEST_POSTGRES:
        return Finding("database", "warning", f"PostgreSQL {version} is old", f"use {OLDEST_POSTGRES} or a later one")
    return Finding("database", "ok", f"PostgreSQL {version}")


def migrations(there: str | None, needed: str | None) -> Finding:
    if there == needed:
        return Finding("tables", "ok", f"at {there}, as this version needs them")
    return Finding("tables", "failed", f"at {there or 'nothing'}, this version needs {needed}", cures.MIGRATIONS)


def clock(seconds: float) -> Finding:
    """`seconds`: how far the database's clock is before this machine's."""
    off = abs(seconds)
    if off <= SKEW[0]:
        return Finding("clock", "ok", "this machine and the database agree")
    way = "behind" if seconds > 0 else "ahead of"
    words = f"this machine is {format_duration(off)} {way} the database"
    return Finding("clock", "warning" if off <= SKEW[1] else "failed", words, "let both keep time by NTP")


def broker(app: "Celery") -> Finding:
    connection = app.connection_for_write()
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=3)
    except Exception as error:  # noqa: BLE001 (each transport has its own kinds)
        words = f"{connection.as_uri()} can't be reached ({type(error).__name__})"
        return Finding("broker", "failed", words, cures.BROKER, UNREACHABLE)
    finally:
        connection.release()
    return Finding("broker", "ok", connection.as_uri())


def backend(app: "Celery") -> Finding:
    where = app.backend.as_uri()
    try:
        app.backend.get_state("spotisync-doctor")
    except Exception as error:  # noqa: BLE001 (the same)
        words = f"{where} can't be reached ({type(error).__name__})"
        cure = "is the server up, and SPOTISYNC_RESULT_BACKEND right?"
        return Finding("results", "failed", words, cure, UNREACHABLE)
    return Finding("results", "ok", where)


# ---- who works ------------------------------------------------------------------------------------------------------


def queues_of_workers(app: "Celery", wanted: Sequence[str]) -> dict[str, list[str]]:
    """Each worker that answers, and the queues it takes from. A busy machine is asked a second time, with patience."""
    found: dict[str, list[str]] = {}
    for seconds in (0.7, 3.0):
        answers: dict[str, Any] = app.control.inspect(timeout=seconds).active_queues() or {}
        found = {worker: [queue["name"] for queue in queues] for worker, queues in answers.items()}
        if set(wanted) <= {name for names in found.values() for name in names}:
            break
    return found


def workers(found: dict[str, list[str]], wanted: Sequence[str]) -> Finding:
    ours = {worker for worker, names in found.items() if set(names) & set(wanted)}
    if not ours:
        return Finding("workers", "failed", "none answers, so that nothing is synced", START_WORKER)
    missing = [name for name in wanted if not any(name in names for names in found.values())]
    if missing:
        words = f"none of {', '.join(sorted(ours))} takes from {' and '.join(missing)}"
        return Finding("workers", "failed", words, f"start one with -Q {','.join(wanted)}, or without -Q")
    return Finding("workers", "ok", f"{', '.join(sorted(ours))}; every queue has one")


def schedule(swept: datetime | None, now: datetime, interval: int) -> Finding:
    """Beat publishes a sweep every few seconds, and a worker that does it leaves a sign."""
    if swept is None:
        return Finding("schedule", "failed", "beat has never run: nothing is synced or sent on by itself", START_BEAT)
    silent = (now - swept).total_seconds()
    if silent > SWEEPS * interval:
        words = f"no sweep for {format_duration(silent)}, so that nothing is synced or sent on by itself"
        return Finding("schedule", "failed", words, f"if workers run, beat does not; {START_BEAT}")
    return Finding("schedule", "ok", f"beat runs; the last sweep was {format_duration(silent)} ago")


# ---- accounts and Spotify -------------------------------------------------------------------------------------------


def accounts(found: Sequence["Account"]) -> Finding:
    if not found:
        return Finding("accounts", "warning", "there is none yet", f"log in: {LOGIN}")
    return Finding("accounts", "ok", ", ".join(f"{each.spotify_user_id} ({each.status})" for each in found))


def token(account: "Account", stored: "StoredTokens", vault: "TokenVault", now: datetime) -> Finding:
    check = f"token of {account.spotify_user_id}"
    login = f"log in again: {LOGIN}"
    if account.status == "needs_login" or stored.refresh_token is None:
        why = account.last_error or "there is none"
        return Finding(check, "failed", f"login needed: {why}", login, LOGIN_NEEDED)
    try:
        vault.decrypt(stored.refresh_token)
    except Misconfigured:
        cure = "add that key to the list in SPOTISYNC_SECRET_KEY; if it is lost, " + login
        return Finding(check, "failed", "it was encrypted with a key that is not in SPOTISYNC_SECRET_KEY", cure)
    standing = oauth.login_state(
        account.spotify_user_id, account.status, account.authorised_at, None, account.last_error, now
    )
    if standing.warning:
        what, _, cure = standing.warning.partition("; ")
        return Finding(check, "warning", what, cure)
    return Finding(check, "ok", "stored, and can be read")


def scopes(account: "Account", granted: str | None) -> Finding | None:
    """None while nobody has noted what was granted."""
    if granted is None:
        return None
    check = f"scopes of {account.spotify_user_id}"
    missing = oauth.missing_scopes(granted)
    if missing:
        return Finding(check, "warning", f"not granted: {', '.join(missing)}", f"log in again: {LOGIN}")
    return Finding(check, "ok", "all that is needed")


def _done(at: datetime | None, zone: str) -> str:
    return f", done about {at.astimezone(ZoneInfo(zone)):%Y-%m-%d}" if at else ""


def lookups(regime: str | None, found: "Sequence[BacklogForecast]", zone: str) -> Finding:
    """Which of the two Spotify APIs the app has, and when all artists and albums will have been looked up."""
    api = {None: "not known yet, the first sync tells", "full": "the full one"}.get(regime, f"the {regime} one")
    left = [
        f"{each.left:,} {each.family} to look up" + _done(each.done_at, zone)
        for each in found
        if each.left and each.way in {"together", "singly"}
    ]
    return Finding("Spotify's API", "ok", "; ".join([api, *left]))


def spotify_answers(account: "Account", ask: Callable[["Account"], None]) -> Finding:
    """Whether Spotify answers this account."""
    check = f"Spotify as {account.spotify_user_id}"
    try:
        ask(account)
    except SpotisyncError as error:
        return _refusal(check, error)
    return Finding(check, "ok", "answers")


def _refusal(check: str, error: SpotisyncError) -> Finding:
    match error:
        case NeedsLogin():
            return Finding(check, "failed", _first(error), f"log in again: {LOGIN}", LOGIN_NEEDED)
        case Wait():
            return Finding(check, "warning", "not asked: all requests wait", "spotisync limits list")
        case Refused():
            cure = "is the app's owner still on Premium, and this user on the app's list, at developer.spotify.com?"
            return Finding(check, "failed", str(error), cure)
        case Transient() | Unavailable():
            return Finding(
                check, "failed", str(error), "try again later; is there a way out of this network?", UNREACHABLE
            )
        case Fatal():
            return Finding(check, "failed", _first(error), str(error).partition("; ")[2] or None)
    return Finding(check, "failed", str(error))


def limits(blocks: Sequence["Cooldown"], now: datetime, zone: str) -> list[Finding]:
    if not blocks:
        return [Finding("limits", "ok", "nothing has to wait")]
    document = {"as_of": now.isoformat(), "time_zone": zone}
    return [
        Finding(
            "limits",
            "warning",
            describe_cooldown(document, WaitState(each.until, each.family, each.reason)),
            "none: it passes. If you know that it is over: spotisync limits clear",
        )
        for each in blocks
    ]


def _first(error: SpotisyncError) -> str:
    """Without the cure, which stands beside it."""
    return str(error).partition("; ")[0]


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]
