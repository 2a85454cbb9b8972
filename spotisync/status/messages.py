"""The sentences of a status document: state of the run, reason and end of a wait, what is stored, what to do.

They are made from the document alone, so that the command line, the page, the HTTP API and notifications say the same.
A new fact enters the document in `read`; its sentence is a function here, listed in `NOTES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from textwrap import shorten
from typing import Any, Final, Literal

from spotisync.core.durations import format_duration
from spotisync.core.oauth import LOGIN, is_app_blocked
from spotisync.core.states import OVER
from spotisync.status.times import format_time, parse, seconds_until

Document = dict[str, Any]
Situation = Literal[
    "no_account", "no_run", "pending", "paused", "due", "waiting", "retrying", "unclaimed", "worker_lost", "running",
    "finishing", "success", "failed", "cancelled",
]  # fmt: skip

NO_ACCOUNT: Final = "No account yet."
START: Final = "spotisync up (with your own servers: celery -A spotisync worker and celery -A spotisync beat)"
# Seconds without a worker before the user is asked to check: a message normally reaches one in milliseconds.
PATIENCE: Final = 10.0
# Plays count as recorded for this many of the shortest intervals: an idle account is read at every fifteenth.
RECENT_READS: Final = 16
# The sweeps count as stopped when this many are overdue.
SWEEPS: Final = 4
# Seconds for which removed messages are mentioned.
REJECTIONS_SHOWN: Final = 86_400.0

DOING: Final = {
    "tracks": "Reading saved tracks",
    "artists": "Looking up artists",
    "albums": "Looking up albums",
    "playlists": "Reading playlists",
    "finish": "Finishing",
}
STATUS_LABELS: Final = {
    "pending": "queued",
    "in_progress": "running",
    "rate_limited": "paused",
    "success": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}
# Families of requests.
REQUESTS: Final = {
    "library": "library reads",
    "playlists": "playlist reads",
    "artists": "artist look-ups",
    "albums": "album look-ups",
    "player": "reads of recent plays",
    "*": "all requests",
}
# Lists from which nothing is removed while a key is missing from their replies.
FROZEN_LISTS: Final = (
    "saved_tracks",
    "saved_albums",
    "saved_audiobooks",
    "saved_shows",
    "saved_episodes",
    "followed_artists",
    "playlists",
)
TRIGGERS: Final = {
    "beat": "by the schedule",
    "cli": "from the command line",
    "api": "over the HTTP API",
    "web": "from the web page",
    "task": "by a Celery task",
}


@dataclass(frozen=True)
class WaitState:
    """What a run waits for. Without family and reason only Spotify's Retry-After is known."""

    until: datetime
    family: str | None = None
    reason: str | None = None


def describe(document: Document) -> Document:
    """All sentences, by their keys in the document."""
    wait = get_wait(document)
    return {
        "message": headline(document),
        "waiting_for": describe_wait_reason(wait) if wait else None,
        "waiting_until": wait.until.isoformat() if wait else None,
        "safe": what_is_stored(document),
        "still_runs": what_continues(document),
        "to_do": what_to_do(document),
        "notes": notes(document),
    }


# ---- the situation --------------------------------------------------------------------------------------------------


def get_situation(document: Document) -> Situation:
    """The status, refined by why the run does not advance."""
    status: str | None = document["status"]
    match status:
        case None:
            return "no_run" if document["account"] else "no_account"
        case "in_progress":
            return _situation_in_progress(document)
        case "rate_limited":
            return "paused" if get_wait(document) else "due"
        case "pending" | "success" | "failed" | "cancelled":
            return status
    raise AssertionError(status)


def _situation_in_progress(document: Document) -> Situation:
    worker = document["worker"]
    advancing: Situation = "finishing" if document["current_phase"] == "finish" else "running"
    if worker["has_it"]:
        return advancing if worker["alive"] else "worker_lost"
    if get_wait(document):
        return "waiting"
    if (_current(document) or {}).get("failures"):
        return "retrying"
    started = any(phase["status"] != "pending" for phase in document["phases"].values())
    return "unclaimed" if not started or seconds_idle(document) > PATIENCE else advancing


def get_wait(document: Document) -> WaitState | None:
    """What this run waits for: the cooldown of its family or of all requests, or its budget."""
    if document["status"] not in {"in_progress", "rate_limited"} or document["worker"]["has_it"]:
        return None
    reset = parse((_current(document) or {}).get("rate_limit_reset_at"))
    retry_after = WaitState(reset) if reset and seconds_until(document, reset) > 0 else None
    blocked, own = _longest_cooldown(document), find_budget_wait(document)
    if own:
        return max((own, blocked), key=lambda wait: wait.until) if blocked else own
    if document["status"] == "rate_limited" and document["blocked"] is not None:
        return blocked  # the cooldown decides: it may have been cleared since Spotify sent its Retry-After
    return blocked if retry_after and blocked else retry_after


def find_budget_wait(document: Document) -> WaitState | None:
    """The wait of a scheduled run until older calls have left the budget."""
    until = parse(document.get("budget_until"))
    return WaitState(until, document["family"], "budget") if until and seconds_until(document, until) > 0 else None


def _longest_cooldown(document: Document) -> WaitState | None:
    waits = [_wait_of(each) for each in document["blocked"] or [] if each["family"] in {document["family"], "*"}]
    return max(waits, key=lambda wait: wait.until, default=None)


def _wait_of(block: Document) -> WaitState:
    return WaitState(datetime.fromisoformat(block["blocked_until"]), block["family"], block["reason"])


def seconds_idle(document: Document) -> float:
    """Seconds since the run last advanced."""
    advanced = parse(document["worker"]["last_advance"])
    return -seconds_until(document, advanced) if advanced else 0.0


def _current(document: Document) -> Document | None:
    phase: Document | None = document["phases"].get(document["current_phase"])
    return phase


# ---- the headline ---------------------------------------------------------------------------------------------------


def headline(document: Document) -> str:
    """One or two sentences on the state of the run, or of its account if that prevents a sync."""
    message = MESSAGES[get_situation(document)](document)
    if document["account_status"] == "needs_login":
        error = end_sentence(document["account_error"] or "Spotify no longer accepts its login")
        # A failed run has failed with the same error.
        rest = "" if document["status"] == "failed" else f" {message}"
        return f"{document['account']} has to log in again: {error}{rest}"
    if document["account_status"] == "disabled":
        return f"{document['account']} is disabled and is not synced. {message}"
    return message


def _with_progress(document: Document, sentence: str) -> str:
    """The sentence, followed by: 1,247 of 3,500 tracks stored."""
    phase = _current(document)
    if not phase or not phase["items_processed"]:
        return sentence
    return f"{sentence} {_amount(document, phase)} {document['current_phase']} stored."


def _amount(document: Document, phase: Document) -> str:
    done, total = phase["items_processed"], get_expected(document, document["current_phase"])
    return f"{done:,} of {total:,}" if total is not None and total >= done else f"{done:,}"


def get_expected(document: Document, name: str) -> int | None:
    """The number of items that a phase will have read at its end, if known.

    An incremental sync reads the newest saved tracks and a few others, not the total that Spotify counts.
    """
    if name == "tracks" and document["sync_type"] == "incremental":
        return None
    total: int | None = document["phases"][name]["total_items"]
    return total


def _pending(document: Document) -> str:
    running = next((each for each in document["other_runs"] if each["status"] == "in_progress"), None)
    return f"Queued: starts {f'when {_name(running)} ends' if running else _at_next_sweep(document)}."


def _at_next_sweep(document: Document) -> str:
    return f"at the next sweep (every {format_duration(document['schedule']['sweep_interval'])})"


def _due(document: Document) -> str:
    over = "Older calls have left the daily budget" if document.get("budget_until") else "Rate limit expired"
    return _with_progress(document, f"{over}; resumes {_at_next_sweep(document)}.")


def _paused(document: Document) -> str:
    wait = get_wait(document)
    return _with_progress(document, f"Paused until {_until(document, wait)}.") if wait else ""


def _waiting(document: Document) -> str:
    wait = get_wait(document)
    return _with_progress(document, f"Waiting until {_until(document, wait)}.") if wait else ""


def _until(document: Document, wait: WaitState) -> str:
    left = format_duration(seconds_until(document, wait.until))
    return f"{format_time(document, wait.until)} ({left}): {describe_wait_reason(wait)}"


def describe_cooldown(document: Document, wait: WaitState) -> str:
    """As in: Artist look-ups blocked until 03:42 (2 h): Spotify quota used up."""
    requests = REQUESTS.get(wait.family or "", str(wait.family))
    reason = describe_block_reason(wait)
    left = format_duration(seconds_until(document, wait.until))
    return f"{capitalize(requests)} blocked until {format_time(document, wait.until)} ({left}): {reason}"


def describe_block_reason(wait: WaitState) -> str:
    """Why requests are blocked, beside their name."""
    match wait.reason:
        case "quota":
            return "Spotify quota used up"
        case "manual":
            return "by hand (to end it: spotisync limits clear)"
    return describe_wait_reason(wait)


def describe_wait_reason(wait: WaitState) -> str:
    """`rate`: Spotify's rolling 30 s window; `quota`: its longer limit on one family of requests.

    `manual`: set by a person; `budget`: our own, so that Spotify's quota is not reached.
    """
    requests = REQUESTS.get(wait.family or "", wait.family)
    match wait.reason:
        case "quota":
            return f"Spotify quota for {requests}"
        case "rate":
            return "Spotify rate limit"
        case "manual":
            return f"{requests} blocked by hand (to end it: spotisync limits clear)"
        case "budget":
            return f"the daily budget for {requests} is spent; older calls leave it by then (spotisync budget)"
        case None:
            return "Spotify answered 429 (too many requests)"
    return f"{wait.reason} for {requests}"


def _retrying(document: Document) -> str:
    phase = _current(document) or {}
    failures = count_of(phase["failures"], "failure", "failures in a row")
    return _with_progress(document, f"Retrying after {failures}: {_error(phase)}")


def _unclaimed(document: Document) -> str:
    idle = seconds_idle(document)
    if idle <= PATIENCE:
        return "Waiting for a worker."
    return _with_progress(document, f"Waiting for a worker: none has taken the next batch for {format_duration(idle)}.")


def _worker_lost(document: Document) -> str:
    return _with_progress(document, "Worker lost; another worker continues from the last checkpoint.")


def _running(document: Document) -> str:
    phase = _current(document)
    amount = f": {_amount(document, phase)}" if phase and phase["items_processed"] else ""
    return f"{DOING[document['current_phase']]}{amount}; {_calls(document)} so far."


def _calls(document: Document) -> str:
    return count_of(document["api_calls"], "Spotify call")


def _success(document: Document) -> str:
    saved = f", {document['calls_saved']:,} saved" if document.get("calls_saved") else ""
    changes = [
        f"{document[f'items_{kind}']:,} {kind}" for kind in ("added", "updated", "removed") if document[f"items_{kind}"]
    ]
    counts = [f"{count_of(document['items_processed'], 'item')} read", *(changes or ["no changes"])]
    return f"Completed{_ended_at(document)}: {', '.join(counts)}; {_calls(document)}{saved}."


def _failed(document: Document) -> str:
    if is_app_blocked(document["last_error"]) and (error := describe_error(document["last_error"])):
        return _with_progress(document, f"Failed: {error['cause']}")  # what to do is the cure
    return _with_progress(document, f"Failed: {_error(document)}")


def _cancelled(document: Document) -> str:
    return _with_progress(document, f"Cancelled{_ended_at(document)}.")


def _ended_at(document: Document) -> str:
    ended = parse(document["completed_at"])
    return f" at {format_time(document, ended)}" if ended else ""


def describe_error(last_error: str | None) -> Document | None:
    """Split an error at its first semicolon into `cause` and `cure`. `…; 10 tries in a row failed` has no cure."""
    if not last_error:
        return None
    cause, _, cure = last_error.partition("; ")
    if cure.endswith(" failed"):
        cause, cure = last_error, ""
    return {"cause": capitalize(end_sentence(cause)), "cure": capitalize(cure) if cure else None}


def _error(failed: Document) -> str:
    return end_sentence(failed["last_error"] or "no error was recorded")


MESSAGES: Final[dict[Situation, Callable[[Document], str]]] = {
    "no_account": lambda _: NO_ACCOUNT,
    "no_run": lambda document: f"No sync has run yet for {document['account']}.",
    "pending": _pending,
    "paused": _paused,
    "due": _due,
    "waiting": _waiting,
    "retrying": _retrying,
    "unclaimed": _unclaimed,
    "worker_lost": _worker_lost,
    "running": _running,
    "finishing": lambda document: f"Finishing; {_calls(document)} so far.",
    "success": _success,
    "failed": _failed,
    "cancelled": _cancelled,
}


# ---- what is stored, what continues, what to do ---------------------------------------------------------------------


def what_is_stored(document: Document) -> str | None:
    """None before the first batch and after success."""
    started = any(phase["batches"] or phase["items_processed"] for phase in document["phases"].values())
    return "All items read so far are stored." if started and document["status"] != "success" else None


def what_continues(document: Document) -> str | None:
    """What is blocked and what runs while this run waits."""
    if get_situation(document) == "pending":
        return None  # the headline names the other run
    wait = get_wait(document)
    others = [f"{capitalize(_name(each))} is {STATUS_LABELS[each['status']]}." for each in document["other_runs"]]
    if wait is None:
        return " ".join(others) or None
    blocked = _describe_blocked(document, wait)
    plays = ["Plays are still recorded."] if _plays_are_recorded(document) else []
    return " ".join([blocked, *plays, *others])


def _describe_blocked(document: Document, wait: WaitState) -> str:
    if wait.reason == "budget":
        return "Only scheduled syncs wait for it."
    if wait.family == "*":
        return "No requests are sent to Spotify until then."
    families = [wait.family, *(each["family"] for each in document["blocked"] or [] if each["family"] != wait.family)]
    if "*" in families:
        return "Other requests are blocked as well."
    *first, last = [REQUESTS.get(each or "", "requests of this kind") for each in families]
    return f"Only {' and '.join(filter(None, (', '.join(first), last)))} are blocked."


def _plays_are_recorded(document: Document) -> bool:
    """Whether plays were read recently and the next read is not blocked."""
    playback, interval = document.get("playback"), document.get("playback_interval")
    if not playback or not interval or not playback["read_at"] or playback["last_error"]:
        return False
    blocked = {"player", "*"} & {block["family"] for block in document["blocked"] or []}
    age = -seconds_until(document, datetime.fromisoformat(playback["read_at"]))
    return not blocked and age < RECENT_READS * interval


def what_to_do(document: Document) -> str:
    """The command that helps. Starts with "Nothing" where the user need not do anything."""
    if document["account_status"] == "needs_login":
        resume = f"; then: spotisync resume {document['sync_id']}"
        return f"Log in again: {LOGIN}{resume if document['status'] in {'failed', 'cancelled'} else ''}"
    if document["account_status"] == "disabled":
        return f"Enable the account: spotisync accounts enable {document['account']}"
    return TO_DO[get_situation(document)](document)


def _fix_or_resume(document: Document) -> str:
    error = describe_error(document["last_error"])
    if error and is_app_blocked(document["last_error"]):
        return end_sentence(error["cure"])
    return _resume(document)


def _resume(document: Document) -> str:
    if "can" in document and document["can"]["resume"] != document["sync_id"]:
        return "Nothing; a newer run has replaced this one."
    return f"Resume from the last checkpoint: spotisync resume {document['sync_id']}"


def _start_worker_if_idle(document: Document) -> str:
    if seconds_idle(document) <= PATIENCE:
        return _nothing(document)
    return f"Check what is wrong: spotisync doctor. If no worker is running, start one: {START}"


def _start_beat_if_stopped(document: Document) -> str:
    return f"Start beat and a worker: {START}" if _sweeps_have_stopped(document) else _nothing(document)


def _nothing(document: Document) -> str:
    wait = get_wait(document) if document["sync_id"] else None
    if wait and wait.reason == "budget":
        start = f"spotisync sync {document['sync_type']} --account {document['account']}"
        return f"Nothing; the run continues automatically. To spend the reserve now: {start}"
    return "Nothing; the run continues automatically."


TO_DO: Final[dict[Situation, Callable[[Document], str]]] = {
    "no_account": lambda _: f"Log in: {LOGIN}",
    "no_run": lambda document: f"Start a full sync: spotisync sync full --wait --account {document['account']}",
    "pending": _start_beat_if_stopped,
    "paused": _start_beat_if_stopped,
    "due": _start_beat_if_stopped,
    "waiting": _nothing,
    "retrying": _nothing,
    "unclaimed": _start_worker_if_idle,
    "worker_lost": _start_worker_if_idle,
    "running": _nothing,
    "finishing": _nothing,
    "success": lambda _: "Nothing.",
    "failed": _fix_or_resume,
    "cancelled": _resume,
}


# ---- notes ----------------------------------------------------------------------------------------------------------


def notes(document: Document) -> list[str]:
    """Further sentences, in the order of `NOTES`."""
    return [note for make_note in NOTES if (note := make_note(document))]


def _completion(document: Document) -> str | None:
    """When the run will complete or, while that is unknown, its current phase."""
    if eta := document["eta"]:
        return f"Expected to complete {_between(document, eta)}."
    phase = _current(document)
    if phase and phase["eta"]:
        return f"{capitalize(document['current_phase'])} expected to complete {_between(document, phase['eta'])}."
    return None


def _between(document: Document, eta: dict[str, str]) -> str:
    earliest, latest = (format_time(document, datetime.fromisoformat(eta[each])) for each in ("earliest", "latest"))
    return f"at about {earliest}" if earliest == latest else f"between {earliest} and {latest}"


def _unlisted_tracks(document: Document) -> str | None:
    """Why the amount of a phase that is done is less than its total."""
    phase = document["phases"].get("tracks")
    if not phase or document["sync_type"] != "full" or phase["status"] != "success":
        return None
    missing = (phase["total_items"] or 0) - phase["items_processed"] - phase["items_deferred"]
    if missing <= 0:
        return None
    rows = "the other row is" if missing == 1 else f"the other {missing:,} rows are"
    return (
        f"Spotify counts {phase['total_items']:,} saved tracks and lists {phase['items_processed']:,}: {rows} empty or "
        "repeated in its replies. Every full sync reads them again."
    )


def _deferred_lookups(document: Document) -> str | None:
    counts = [count_of(number, entity.removesuffix("s")) for entity, number in document["to_look_up"].items() if number]
    return f"Look-ups deferred until Spotify allows them: {' and '.join(counts)}." if counts else None


NAMED_PLAYLISTS: Final = 3
NAME_WIDTH: Final = 60


def _deferred_lists(document: Document) -> str | None:
    return " ".join(_describe_list(each) for each in _find_deferred(document, "list")) or None


def _find_deferred(document: Document, kind: str) -> list[Document]:
    return [each for each in document.get("deferred", ()) if each["kind"] == kind]


def _describe_list(deferred: Document) -> str:
    name, reason = capitalize(deferred["name"]), end_sentence(deferred["reason"])
    if deferred["unread"]:
        return f"{name} were not read: {reason}"
    return f"{name}: {reason}"


def describe_removals(document: Document) -> str | None:
    """Removals of most rows of a list, which need a confirmation."""
    confirmed = [each for each in _find_deferred(document, "removal") if each["confirmed"]]
    held = find_held_removals(document)
    if not held:
        return _confirmed_removals(confirmed) if confirmed else None
    return (
        f"Spotify no longer lists {list_rows(held)}, most of them at once. They are kept until the next sync reads "
        f"the same. To confirm now: spotisync accounts confirm-removal {document['account']}"
    )


def _confirmed_removals(confirmed: list[Document]) -> str:
    return (
        f"The removal of {list_rows(confirmed)} is confirmed. "
        "The next sync applies it, unless Spotify lists them again."
    )


def find_held_removals(document: Document) -> list[Document]:
    """Removals that have not been confirmed."""
    return [each for each in _find_deferred(document, "removal") if not each["confirmed"]]


def list_rows(removals: list[Document]) -> str:
    """As in: 97 saved tracks and 30 playlists."""
    return " and ".join(f"{each['rows']:,} {each['name']}" for each in removals)


def _deferred_playlists(document: Document) -> str | None:
    """Playlists whose contents could not be read: the first ones by name."""
    found = _find_deferred(document, "playlist")
    if not found:
        return None
    named = "; ".join(
        f"{shorten(each['name'] or each['id'], NAME_WIDTH, placeholder='…')} ({each['reason']})"
        for each in found[:NAMED_PLAYLISTS]
    )
    more = f"; and {len(found) - NAMED_PLAYLISTS:,} more" if len(found) > NAMED_PLAYLISTS else ""
    return f"Contents that could not be read, and are tried again later: {named}{more}."


def _cooldowns(document: Document) -> str | None:
    """Cooldowns other than the one in the headline."""
    wait = get_wait(document)
    others = [each for each in document["blocked"] or [] if wait is None or each["family"] != wait.family]
    return " ".join(f"{describe_cooldown(document, _wait_of(each))}." for each in others) or None


def _stopped_sweeps(document: Document) -> str | None:
    """For a run that needs a sweep to continue, and while there is none: schedules and triggers need one, too."""
    situation = get_situation(document)
    needs_sweep = situation in {"pending", "paused", "due", "worker_lost"}
    if not (needs_sweep or situation in {"no_run", *OVER}) or not _sweeps_have_stopped(document):
        return None
    swept = parse(document["schedule"]["last_sweep"])
    stopped = (
        f"No sweep has run for {format_duration(-seconds_until(document, swept))}" if swept else "No sweep has run yet"
    )
    if not needs_sweep:
        return f"{stopped}; no sync starts until beat and a worker run. What is wrong: spotisync doctor"
    return f"{stopped}; the run can't continue until beat and a worker run."


def _sweeps_have_stopped(document: Document) -> bool:
    swept = parse(document["schedule"]["last_sweep"])
    return swept is None or -seconds_until(document, swept) > SWEEPS * document["schedule"]["sweep_interval"]


def _gaps(document: Document) -> str | None:
    """Periods in which plays may be missing."""
    playback = document.get("playback")
    if not playback or not playback["gaps"]:
        return None
    first, *others = playback["gaps"]
    begin, end = (format_time(document, datetime.fromisoformat(first[each])) for each in ("from", "to"))
    more = f", and in {count_of(len(others), 'other gap')}" if others else ""
    return (
        f"Plays may be missing between {begin} and {end}{more}. Spotify's extended streaming history contains them; "
        "import it: spotisync import my_spotify_data.zip"
    )


def _drift(document: Document) -> str | None:
    """Changes of Spotify's replies; `spotisync doctor` says what to do."""
    alarms = [describe_drift(each["kind"], each["endpoint"], each["key"]) for each in document.get("drift") or []]
    return f"{' '.join(alarms)} What to do: spotisync doctor" if alarms else None


def describe_rejections(document: Document) -> str | None:
    """For a day after the last one."""
    rejected = document.get("rejected_messages")
    if not rejected or -seconds_until(document, last := datetime.fromisoformat(rejected["last_at"])) > REJECTIONS_SHOWN:
        return None
    return (
        f"Workers have removed {count_of(rejected['count'], 'malformed or surplus message')} from the broker, the last "
        f"at {format_time(document, last)}; the workers' logs name each."
    )


def describe_drift(kind: str, endpoint: str, key: str) -> str:
    """As in: Replies of saved tracks no longer have items[].track.id."""
    replies = endpoint.replace("_", " ")
    match kind:
        case "regime":
            return f"Spotify has changed this app's API from {key}."
        case "status":
            return f"Spotify answered {key}, a status without a known meaning, to requests of {replies}."
    frozen = f" No {replies} are removed until it returns." if endpoint in FROZEN_LISTS else ""
    return f"Spotify's replies of {replies} no longer have {key}.{frozen}"


NOTES: Final[tuple[Callable[[Document], str | None], ...]] = (
    _completion,
    _unlisted_tracks,
    _deferred_lookups,
    _deferred_lists,
    describe_removals,
    _deferred_playlists,
    _drift,
    describe_rejections,
    _cooldowns,
    _stopped_sweeps,
    _gaps,
)


# ---- wording --------------------------------------------------------------------------------------------------------


def _name(run: Document) -> str:
    return f"run {run['sync_id']} ({run['sync_type']} sync)"


def count_of(number: int, singular: str, plural: str | None = None) -> str:
    """As in: 1 call; 1,247 calls."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def capitalize(text: str) -> str:
    """The text with its first letter in upper case, the rest unchanged."""
    return text[:1].upper() + text[1:]


def end_sentence(text: str) -> str:
    """The text with a full stop, unless it ends a sentence already."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
