"""What a run is doing, why it waits, until when, what is safe, what still runs, what to do: in words.

All of it is made from the status document alone, so that each face says the same. A new fact comes into the document
in `read`; its sentence is a function here, named in `NOTES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from spotisync.core.durations import format_duration
from spotisync.core.oauth import LOGIN
from spotisync.status.times import clock, parse, seconds_until

Document = dict[str, Any]
Situation = Literal[
    "nobody", "never", "pending", "parked", "due", "waiting", "retrying", "unclaimed", "orphaned", "going",
    "finishing", "success", "failed", "cancelled",
]  # fmt: skip

START: Final = "spotisync up; or, with own servers: celery -A spotisync worker, and celery -A spotisync beat"
SAFE: Final = "All that was read is stored."
# A message is with a worker in milliseconds; after so many seconds somebody should look.
PATIENCE: Final = 10.0
# What is said of a run that has given up is no cure.
TRIED: Final = "tries in a row failed"
# So many reads of plays may be missed before they no longer count as recorded.
RECENT_READS: Final = 3
# So many sweeps may be missed before the schedule is said to stand still.
SWEEPS: Final = 4

DOING: Final = {
    "tracks": "Reading saved tracks",
    "artists": "Looking up artists",
    "albums": "Looking up albums",
    "playlists": "Reading playlists",
    "finish": "Finishing",
}
REQUESTS: Final = {
    "library": "library reads",
    "playlists": "playlist reads",
    "artists": "artist look-ups",
    "albums": "album look-ups",
    "player": "reads of what was played",
    "*": "all requests",
}
UNFINISHED_WORDS: Final = {"pending": "waits for its turn", "in_progress": "goes on", "rate_limited": "is paused"}


@dataclass(frozen=True)
class WaitState:
    """What a run waits for. No family and no reason: Spotify's word is known, what it was about is not."""

    until: datetime
    family: str | None = None
    reason: str | None = None


def describe(document: Document) -> Document:
    """All that is said in words, by the names it has in the document."""
    waits = find_wait(document)
    return {
        "message": headline(document),
        "waiting_for": describe_reason(waits) if waits else None,
        "waiting_until": waits.until.isoformat() if waits else None,
        "safe": what_is_stored(document),
        "still_runs": what_continues(document),
        "to_do": what_to_do(document),
        "notes": notes(document),
    }


# ---- the situation --------------------------------------------------------------------------------------------------


def situation(document: Document) -> Situation:
    """The status, and what can be known about why it does not move."""
    status: str | None = document["status"]
    match status:
        case None:
            return "never" if document["account"] else "nobody"
        case "in_progress":
            return _in_progress(document)
        case "rate_limited":
            return "parked" if find_wait(document) else "due"
        case "pending" | "success" | "failed" | "cancelled":
            return status
    raise AssertionError(status)


def _in_progress(document: Document) -> Situation:
    worker = document["worker"]
    if worker["has_it"]:
        if not worker["alive"]:
            return "orphaned"
        return "finishing" if document["current_phase"] == "finish" else "going"
    if find_wait(document):
        return "waiting"
    if (_current(document) or {}).get("failures"):
        return "retrying"
    begun = any(phase["status"] != "pending" for phase in document["phases"].values())
    if not begun or seconds_idle(document) > PATIENCE:
        return "unclaimed"
    return "finishing" if document["current_phase"] == "finish" else "going"


def find_wait(document: Document) -> WaitState | None:
    """The cooldown that this run waits for: that of its family, or of all."""
    if document["status"] not in {"in_progress", "rate_limited"} or document["worker"]["has_it"]:
        return None
    reset = parse((_current(document) or {}).get("rate_limit_reset_at"))
    told_off = WaitState(reset) if reset and seconds_until(document, reset) > 0 else None
    blocked = _longest(document)
    if document["status"] == "rate_limited" and document["blocked"] is not None:
        return blocked  # it decides; what the run was told at the time may be over
    return blocked if told_off and blocked else told_off


def _longest(document: Document) -> WaitState | None:
    covering = [each for each in document["blocked"] or [] if each["family"] in {document["family"], "*"}]
    waits = [
        WaitState(datetime.fromisoformat(each["blocked_until"]), each["family"], each["reason"]) for each in covering
    ]
    return max(waits, key=lambda each: each.until, default=None)


def seconds_idle(document: Document) -> float:
    """Seconds since the run last moved."""
    moved = parse(document["worker"]["last_advance"])
    return -seconds_until(document, moved) if moved else 0.0


def _current(document: Document) -> Document | None:
    phase: Document | None = document["phases"].get(document["current_phase"])
    return phase


# ---- the headline ---------------------------------------------------------------------------------------------------


def headline(document: Document) -> str:
    """A sentence or two that say how it stands."""
    said = MESSAGES[situation(document)](document)
    if document["account_status"] == "needs_login":
        why = _ended(document["account_error"] or "Spotify takes its login no more")
        # A run that failed has failed for that: it would be said twice.
        said = "" if document["status"] == "failed" else f" {said}"
        return f"{document['account']} has to log in again: {why}{said}"
    if document["account_status"] == "disabled":
        return f"{document['account']} is disabled: no sync of it starts. {said}"
    return said


def _pending(document: Document) -> str:
    going = next((each for each in document["other_runs"] if each["status"] == "in_progress"), None)
    return f"It begins when {_name(going)} is over." if going else "It begins within seconds, with the next sweep."


def _parked(document: Document) -> str:
    waits = find_wait(document)
    return f"Paused by Spotify until {_until(document, waits)}. {_are_in(document)}".strip() if waits else ""


def _waiting(document: Document) -> str:
    waits = find_wait(document)
    return f"Spotify said to wait until {_until(document, waits)}. {_are_in(document)}".strip() if waits else ""


def _until(document: Document, waits: WaitState) -> str:
    left = format_duration(seconds_until(document, waits.until))
    return f"{clock(document, waits.until)} ({left}): {describe_reason(waits)}"


def describe_cooldown(document: Document, waits: WaitState) -> str:
    """As in: Artist look-ups wait until 03:42 (2 h): the quota is used up."""
    what = REQUESTS.get(waits.family or "", str(waits.family))
    why = "the quota is used up" if waits.reason == "quota" else describe_reason(waits)
    left = format_duration(seconds_until(document, waits.until))
    return f"{_upper(what)} wait until {clock(document, waits.until)} ({left}): {why}"


def describe_reason(waits: WaitState) -> str:
    what = REQUESTS.get(waits.family or "", waits.family)
    match waits.reason:
        case "quota":
            return f"quota of {what}"
        case "rate":
            return "too many requests in a short time"
        case None:
            return "too many requests"
    return f"{waits.reason} of {what}"


def _retrying(document: Document) -> str:
    phase = _current(document) or {}
    times = _many(phase["failures"], "failure")
    return f"Trying again after {times} in a row: {_error(phase)} {_are_in(document)}".strip()


def _unclaimed(document: Document) -> str:
    waited = seconds_idle(document)
    if waited <= PATIENCE:
        return "It waits for a worker to take it."
    return f"It waits for a worker: none has taken it for {format_duration(waited)}. Is one running? {_are_in(document)}".strip()


def _orphaned(document: Document) -> str:
    return f"Its worker is gone; another one goes on from the last checkpoint. {_are_in(document)}".strip()


def _going(document: Document) -> str:
    phase = _current(document)
    calls = _many(document["api_calls"], "Spotify call")
    amount = f": {_amount(phase)}" if phase and phase["items_processed"] else ""
    return f"{DOING[document['current_phase']]}{amount}; {calls} so far."


def _success(document: Document) -> str:
    ended = parse(document["completed_at"])
    when = f" since {clock(document, ended)}" if ended else ""
    return (
        f"Complete{when}: {_changes(document)}, with {_many(document['api_calls'], 'Spotify call')}{_saved(document)}."
    )


def _saved(document: Document) -> str:
    """Against reading the same lists anew; look-ups count as spent, so it is rather more."""
    saved = document.get("calls_saved")
    return f", which saved {saved:,}" if saved else ""


def _changes(document: Document) -> str:
    kinds = ("added", "updated", "removed")
    said = [f"{document[f'items_{kind}']:,} {kind}" for kind in kinds if document[f"items_{kind}"]]
    return ", ".join([f"{_many(document['items_processed'], 'item')} read", *(said or ["nothing has changed"])])


def _failed(document: Document) -> str:
    return f"Failed: {_error(document)} {_are_in(document)}".strip()


def _cancelled(document: Document) -> str:
    ended = parse(document["completed_at"])
    when = f" at {clock(document, ended)}" if ended else ""
    return f"Cancelled{when}. {_are_in(document)}".strip()


def describe_error(last_error: str | None) -> Document | None:
    """What went wrong and, where that is known, what to do about it: it stands behind the first semicolon."""
    if not last_error:
        return None
    cause, _, cure = last_error.partition("; ")
    if cure.endswith(TRIED):
        cause, cure = last_error, ""
    return {"cause": _upper(_ended(cause)), "cure": _upper(cure) if cure else None}


def _error(of: Document) -> str:
    return _ended(of["last_error"] or "no reason was given")


def _ended(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _are_in(document: Document) -> str:
    """As in: 1,247 of 3,500 tracks are in."""
    phase = _current(document)
    if not phase or not phase["items_processed"]:
        return ""
    return f"{_amount(phase)} {document['current_phase']} are in."


def _amount(phase: Document) -> str:
    done, total = phase["items_processed"], phase["total_items"]
    return f"{done:,} of {total:,}" if total is not None and total >= done else f"{done:,}"


MESSAGES: Final[dict[Situation, Callable[[Document], str]]] = {
    "nobody": lambda _: "No sync has run yet: there is no account.",
    "never": lambda document: f"No sync has run yet for {document['account']}.",
    "pending": _pending,
    "parked": _parked,
    "due": lambda document: f"What it waited for is over; the next sweep sends it on. {_are_in(document)}".strip(),
    "waiting": _waiting,
    "retrying": _retrying,
    "unclaimed": _unclaimed,
    "orphaned": _orphaned,
    "going": _going,
    "finishing": lambda document: f"Finishing; {_many(document['api_calls'], 'Spotify call')} so far.",
    "success": _success,
    "failed": _failed,
    "cancelled": _cancelled,
}


# ---- what is safe, what still runs, what to do ----------------------------------------------------------------------


def what_is_stored(document: Document) -> str | None:
    """None where nothing is at stake."""
    begun = any(phase["batches"] or phase["items_processed"] for phase in document["phases"].values())
    return SAFE if begun and document["status"] != "success" else None


def what_continues(document: Document) -> str | None:
    """Beside a run that does not move."""
    if situation(document) == "pending":
        return None  # the headline has it
    waits = find_wait(document)
    others = " ".join(_upper(f"{_name(each)} {UNFINISHED_WORDS[each['status']]}.") for each in document["other_runs"])
    if waits is None:
        return others or None
    what = REQUESTS.get(waits.family or "", "such requests")
    beside = "Nothing is asked of Spotify meanwhile." if waits.family == "*" else f"Only {what} wait."
    plays = "Plays are still recorded." if _plays_are_recorded(document) else ""
    return " ".join(filter(None, (beside, plays, others)))


def _plays_are_recorded(document: Document) -> bool:
    """They were read of late, and nothing bars the next read."""
    lane, every = document.get("playback"), document.get("playback_interval")
    if not lane or not every or not lane["read_at"] or lane["last_error"]:
        return False
    barred = {"player", "*"} & {block["family"] for block in document["blocked"] or []}
    return not barred and -seconds_until(document, datetime.fromisoformat(lane["read_at"])) < RECENT_READS * every


def what_to_do(document: Document) -> str:
    if document["account_status"] == "needs_login":
        then = (
            f", then: spotisync resume {document['sync_id']}" if document["status"] in {"failed", "cancelled"} else ""
        )
        return f"Log in again: {LOGIN}{then}"
    if document["account_status"] == "disabled":
        return f"To sync it again: spotisync accounts enable {document['account']}"
    return TO_DO[situation(document)](document)


def _resume(document: Document) -> str:
    if "can" in document and document["can"]["resume"] != document["sync_id"]:
        return "Nothing: a newer run has taken its place."
    return f"Go on from there: spotisync resume {document['sync_id']}"


def _start_if_idle(document: Document) -> str:
    if seconds_idle(document) <= PATIENCE:
        return _nothing(document)
    return f"If no worker runs, start one: {START}. What is wrong: spotisync doctor"


def _start_if_swept_no_more(document: Document) -> str:
    return f"Start beat and a worker: {START}" if _stands_still(document) else _nothing(document)


def _nothing(_: Document) -> str:
    return "Nothing; it goes on by itself."


TO_DO: Final[dict[Situation, Callable[[Document], str]]] = {
    "nobody": lambda _: f"Log in: {LOGIN}",
    "never": lambda document: f"Start one: spotisync sync full --wait --account {document['account']}",
    "pending": _start_if_swept_no_more,
    "parked": _start_if_swept_no_more,
    "due": _start_if_swept_no_more,
    "waiting": _nothing,
    "retrying": _nothing,
    "unclaimed": _start_if_idle,
    "orphaned": _start_if_idle,
    "going": _nothing,
    "finishing": _nothing,
    "success": lambda _: "Nothing.",
    "failed": _resume,
    "cancelled": _resume,
}


# ---- notes ----------------------------------------------------------------------------------------------------------


def notes(document: Document) -> list[str]:
    """Whatever else is worth a sentence."""
    return [note for made in NOTES if (note := made(document))]


def _when_done(document: Document) -> str | None:
    """Of the run, or of its phase, while no more is known."""
    if eta := document["eta"]:
        return f"It will be complete {_between(document, eta)}."
    phase = _current(document)
    if phase and phase["eta"]:
        return f"{_upper(document['current_phase'])} will be complete {_between(document, phase['eta'])}."
    return None


def _between(document: Document, eta: dict[str, str]) -> str:
    earliest, latest = (clock(document, datetime.fromisoformat(eta[each])) for each in ("earliest", "latest"))
    return f"at about {earliest}" if earliest == latest else f"between {earliest} and {latest}"


def _to_look_up(document: Document) -> str | None:
    if not any(document["to_look_up"].values()):
        return None
    each = [f"{number:,} {entity}" for entity, number in document["to_look_up"].items() if number]
    return f"{_upper(' and '.join(each))} still to be looked up: they were put off until Spotify allows it."


def _lists_put_off(document: Document) -> str | None:
    each = document.get("lists_put_off", {}).items()
    return " ".join(f"{_upper(name.replace('_', ' '))} were not read: {why}." for name, why in each) or None


def _blocked(document: Document) -> str | None:
    """What has to wait, but for what was said already."""
    said = find_wait(document)
    rest = [each for each in document["blocked"] or [] if said is None or each["family"] != said.family]
    each = [
        WaitState(datetime.fromisoformat(block["blocked_until"]), block["family"], block["reason"]) for block in rest
    ]
    lines = [f"{describe_cooldown(document, wait)}." for wait in each]
    return " ".join(lines) or None


def _gaps(document: Document) -> str | None:
    """Where plays may be missing, and how to get them."""
    lane = document.get("playback")
    if not lane or not lane["gaps"]:
        return None
    ends = [clock(document, datetime.fromisoformat(lane["gaps"][0][end])) for end in ("from", "to")]
    more = len(lane["gaps"]) - 1
    others = f", and in {more} more {'gap' if more == 1 else 'gaps'}" if more else ""
    return (
        f"Between {ends[0]} and {ends[1]}{others} plays may be missing. Spotify's extended streaming history has them: "
        "spotisync import my_spotify_data.zip"
    )


def _schedule(document: Document) -> str | None:
    """A run that a sweep has to send on, and no sweep."""
    if situation(document) not in {"pending", "parked", "due", "orphaned"} or not _stands_still(document):
        return None
    swept = parse(document["schedule"]["last_sweep"])
    since = f"for {format_duration(-seconds_until(document, swept))}" if swept else "ever"
    return f"No sweep has run {since}, and it takes one to send the run on."


def _stands_still(document: Document) -> bool:
    swept = parse(document["schedule"]["last_sweep"])
    return swept is None or -seconds_until(document, swept) > SWEEPS * document["schedule"]["sweep_interval"]


# A further sentence is a further function: what it says of the document, or None.
NOTES: Final[tuple[Callable[[Document], str | None], ...]] = (
    _when_done,
    _to_look_up,
    _lists_put_off,
    _blocked,
    _schedule,
    _gaps,
)


def _name(run: Document | None) -> str:
    return (
        f"run {run['sync_id']}, {'an' if run['sync_type'] == 'incremental' else 'a'} {run['sync_type']} sync,"
        if run
        else ""
    )


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]
