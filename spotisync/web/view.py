"""What a page makes of a status document: bars, signs, buttons, spans. Pure; its sentences are in the document already."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from spotisync.core.spans import span
from spotisync.core.states import OVER, UNFINISHED
from spotisync.status import times, words

Document = dict[str, Any]

STATES: Final = {
    "pending": "to come",
    "in_progress": "going",
    "rate_limited": "paused",
    "success": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}
TRIGGERS: Final = {
    "beat": "by the schedule",
    "cli": "from the command line",
    "api": "over the HTTP API",
    "web": "from this page",
    "task": "by another service",
}
KINDS: Final = {
    "full": "Full sync",
    "incremental": "Incremental sync",
    "playback": "Plays",
    "enrich": "Look-ups",
    "sweep": "Sweep",
}
FAMILIES: Final = {
    "library": "library reads",
    "playlists": "playlist reads",
    "artists": "artist look-ups",
    "albums": "album look-ups",
    "player": "plays",
    "*": "all requests",
}
# What a state looks like that is not simply the status: the colour of a status, and an icon.
SIGNS: Final = {
    "nobody": ("pending", "person"),
    "never": ("pending", "mark"),
    "pending": ("pending", "pending"),
    "parked": ("rate_limited", "rate_limited"),
    "waiting": ("rate_limited", "wait"),
    "due": ("pending", "wait"),
    "retrying": ("rate_limited", "retry"),
    "unclaimed": ("pending", "wait"),
    "orphaned": ("rate_limited", "lost"),
    "going": ("in_progress", "in_progress"),
    "finishing": ("in_progress", "in_progress"),
}


# ---- moments and spans ----------------------------------------------------------------------------------------------


def clock(document: Document, iso: str) -> str:
    return times.clock(document, datetime.fromisoformat(iso))


def when(document: Document, iso: str) -> str:
    """With its day, for lists that go back: `23 Nov 09:49`."""
    zone = ZoneInfo(document["time_zone"])
    local, today = datetime.fromisoformat(iso).astimezone(zone), times.now(document).astimezone(zone)
    return f"{times.day(local, today)} {local:%H:%M}"


def moment(document: Document, iso: str) -> str:
    """To the second; with its day where that is not today."""
    zone = ZoneInfo(document["time_zone"])
    local, today = datetime.fromisoformat(iso).astimezone(zone), times.now(document).astimezone(zone)
    return f"{local:%H:%M:%S}" if local.date() == today.date() else f"{times.day(local, today)} {local:%H:%M:%S}"


def until(document: Document, iso: str) -> str:
    return span(times.seconds_until(document, datetime.fromisoformat(iso)))


def since(document: Document, iso: str) -> str:
    return span(-times.seconds_until(document, datetime.fromisoformat(iso)))


def took(run: Document, now: str) -> str:
    ended = datetime.fromisoformat(run["completed_at"] or now)
    return span((ended - datetime.fromisoformat(run["started_at"])).total_seconds())


# ---- the state of a run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sign:
    look: str
    icon: str
    moves: bool = False


def sign(document: Document) -> Sign:
    if document["account_status"] == "needs_login":
        return Sign("failed", "failed")
    found = words.situation(document)
    look, icon = SIGNS.get(found, (found, found))
    return Sign(look, icon, moves=look == "in_progress")


def headline(document: Document) -> str:
    """The sentence without the time that is left, where a countdown below it shows that."""
    said: str = document["message"]
    if document["waiting_until"]:
        return said.replace(f" ({until(document, document['waiting_until'])})", "", 1)
    return said


def announcement(document: Document) -> str:
    """For who hears the page: what has become different, not each number."""
    match words.situation(document):
        case "going":
            return f"{words.DOING[document['current_phase']]}."
        case "parked" | "waiting":
            return f"Waiting for Spotify until {clock(document, document['waiting_until'])}."
        case "retrying":
            return "Trying again after a failure."
        case "orphaned":
            return "Its worker is gone; another one goes on."
        case "unclaimed":
            return "It waits for a worker."
        case "finishing":
            return "Finishing."
    return headline(document)


def is_over(run: Document) -> bool:
    return run["status"] in OVER


def name(run: Document) -> str:
    return f"{KINDS[run['sync_type']]} of {run['account']}"


def to_do(document: Document) -> str | None:
    """What a person has to do, if anything."""
    said: str = document["to_do"]
    return None if said.startswith("Nothing") else said


# ---- bars -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """One phase. No percentage: how much there is in all is not known yet."""

    label: str
    status: str
    word: str
    amount: str
    percent: float | None
    more: str

    @property
    def moves(self) -> bool:
        return self.percent is None and self.status == "in_progress"

    @property
    def width(self) -> float:
        return (0.0 if self.status != "in_progress" else 25.0) if self.percent is None else self.percent

    @property
    def valuetext(self) -> str:
        share = "" if self.percent is None else f"{self.percent:.0f}%"
        return ", ".join(filter(None, (self.amount, share, self.word)))


def bars(document: Document) -> list[Bar]:
    return [_bar(document, label, phase) for label, phase in document["phases"].items()]


def _bar(document: Document, label: str, phase: Document) -> Bar:
    waits = phase["status"] in {"in_progress", "rate_limited"} and document["waiting_until"]
    done = phase["status"] == "success"
    percent = 100.0 if done else phase["percent_complete"]
    return Bar(
        label.capitalize(),
        "rate_limited" if waits else phase["status"],
        "waiting" if waits else _word(phase),
        _amount(phase),
        None if percent is None else min(100.0, float(percent)),
        " · ".join(filter(None, (_rate(phase), _later(phase), _when_done(document, phase), _stumbled(phase)))),
    )


def _word(phase: Document) -> str:
    if phase["status"] == "in_progress" and phase["failures"]:
        return "trying again"
    return STATES[phase["status"]]


def _amount(phase: Document) -> str:
    """`1,247 of 3,500`; more than was expected is said as such."""
    done, total = phase["items_processed"], phase["total_items"]
    if phase["status"] == "pending" and not done:
        return ""
    if total is None or phase["status"] == "success":
        return f"{done:,}"
    return f"{done:,} of {total:,}" if done <= total else f"{done:,}, {total:,} were expected"


def _rate(phase: Document) -> str:
    busy = phase.get("busy_seconds") or 0
    if phase["status"] != "in_progress" or busy < 1 or not phase["items_processed"]:
        return ""
    return f"about {phase['items_processed'] / busy:,.0f} a second"


def _later(phase: Document) -> str:
    return f"{phase['items_deferred']:,} put off" if phase["items_deferred"] else ""


def _stumbled(phase: Document) -> str:
    error = (phase["last_error"] or "").partition("\n")[0]
    return error if phase["status"] != "success" and phase["failures"] else ""


def _when_done(document: Document, phase: Document) -> str:
    eta = phase.get("eta")
    if not eta:
        return ""
    earliest, latest = (clock(document, eta[each]) for each in ("earliest", "latest"))
    return f"done at about {earliest}" if earliest == latest else f"done between {earliest} and {latest}"


# ---- buttons --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Button:
    """Pressing it posts to `path`."""

    words: str
    path: str
    icon: str
    value: str = ""
    look: str = ""


FULL: Final = Button("Start a full sync", "/runs", "start", "full")
INCREMENTAL: Final = Button("Read what has changed", "/runs", "diff", "incremental")


def buttons(document: Document) -> list[Button]:
    """Those that the state allows, the likeliest first."""
    if document["account_status"] != "active":
        return [cancel(document)] if document["status"] in UNFINISHED else []
    going = {each["sync_type"]: each["status"] for each in _unfinished(document)}
    found = [cancel(document)] if document["status"] in UNFINISHED else []
    if document["status"] in {"failed", "cancelled"}:
        found.append(resume(document))
    if "incremental" not in going and going.get("full") in {None, "rate_limited"} and document["sync_id"]:
        found.append(INCREMENTAL)
    if "full" not in going:
        found.append(FULL)
    return [_first(found[0]), *found[1:]] if found else []


def _first(button: Button) -> Button:
    return button if button.icon == "cancelled" else Button(**{**vars(button), "look": "primary"})


def _unfinished(document: Document) -> list[Document]:
    return [each for each in (document, *document["other_runs"]) if each["status"] in UNFINISHED]


def cancel(run: Document) -> Button:
    return Button("Cancel", f"/runs/{run['sync_id']}/cancel", "cancelled")


def resume(run: Document) -> Button:
    return Button(f"Resume run {run['sync_id']}", f"/runs/{run['sync_id']}/resume", "retry")


# ---- beside the run -------------------------------------------------------------------------------------------------


def title(documents: list[Document]) -> str:
    """Of the window: short, for it stands on a tab."""
    moving = [each for each in documents if words.situation(each) in {"going", "finishing"}]
    paused = [each for each in documents if each["waiting_until"]]
    if len(documents) == 1 and moving:
        current = documents[0]["phases"].get(documents[0]["current_phase"]) or {}
        share = current.get("percent_complete")
        return f"{documents[0]['current_phase']} {share:.0f}% · spotisync" if share is not None else "going · spotisync"
    return "paused · spotisync" if paused else "spotisync"


def changed(run: Document) -> str:
    """`+12 ~3 −1`, as it stands in a list."""
    signs = (("added", "+"), ("updated", "~"), ("removed", "\N{MINUS SIGN}"))
    said = [f"{sign}{run[f'items_{kind}']:,}" for kind, sign in signs if run[f"items_{kind}"]]
    return " ".join(said) or ("nothing" if run["status"] == "success" else "")


@dataclass(frozen=True)
class Meter:
    label: str
    words: str
    percent: float | None = None
    look: str = "in_progress"


def meters(document: Document) -> list[Meter]:
    found = [Meter("This run", f"{document['api_calls']:,}")] if document["api_calls"] is not None else []
    return found


def coming(document: Document) -> list[Document]:
    return []
