"""What a page makes of a status document: bars, signs, buttons, spans. Pure; its sentences are the document's own."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from spotisync.core.durations import format_duration
from spotisync.core.states import OVER
from spotisync.status import messages, times
from spotisync.web.labels import KINDS, LISTS, SIGNS, STANDING, STATES

Document = dict[str, Any]

# Of what may be used, in percent: from here on it is said with a warning.
NEARLY: Final = 85


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
    return format_duration(times.seconds_until(document, datetime.fromisoformat(iso)))


def since(document: Document, iso: str) -> str:
    return format_duration(-times.seconds_until(document, datetime.fromisoformat(iso)))


def took(run: Document, now: str | None = None) -> str:
    """Until now, if it goes on; without a now, nothing is said of that."""
    ended = times.parse(run["completed_at"] or now)
    return format_duration((ended - datetime.fromisoformat(run["started_at"])).total_seconds()) if ended else ""


# ---- the state of a run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sign:
    look: str
    icon: str
    moves: bool = False


def sign(document: Document) -> Sign:
    if document["account_status"] == "needs_login":
        return Sign("failed", "failed")
    found = messages.situation(document)
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
    match messages.situation(document):
        case "going":
            return f"{messages.DOING[document['current_phase']]}."
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


def simply_goes(document: Document) -> bool:
    """Or went well: then there is no need to say what is safe."""
    return messages.situation(document) in {"going", "finishing", "success"}


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
    stands = phase["status"] in {"in_progress", "rate_limited"} and STANDING.get(messages.situation(document))
    percent = 100.0 if phase["status"] == "success" else phase["percent_complete"]
    return Bar(
        label.capitalize(),
        "rate_limited" if stands else phase["status"],
        stands or _word(phase),
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

    messages: str
    path: str
    icon: str
    value: str = ""
    look: str = ""


FULL: Final = Button("Start a full sync", "/runs", "start", "full")
INCREMENTAL: Final = Button("Read what has changed", "/runs", "diff", "incremental")


def buttons(document: Document) -> list[Button]:
    """Those that the state allows, the likeliest first."""
    can = document["can"]
    found = [
        *([cancel(can["cancel"], document)] if can["cancel"] else []),
        *([resume(can["resume"])] if can["resume"] else []),
        # The first sync of an account is a full one, whatever is asked for.
        *([INCREMENTAL] if can["incremental"] and document["sync_id"] else []),
        *([FULL] if can["full"] else []),
    ]
    return [replace(found[0], look="" if can["cancel"] else "primary"), *found[1:]] if found else []


def buttons_of_run(document: Document) -> list[Button]:
    """On its own page: only what is about this run."""
    can = document["can"]
    if can["cancel"] == document["sync_id"]:
        return [cancel(document["sync_id"], document)]
    return [replace(resume(can["resume"]), look="primary")] if can["resume"] == document["sync_id"] else []


def cancel(sync_id: int, document: Document) -> Button:
    other = "" if sync_id == document["sync_id"] else f" run {sync_id}"
    return Button(f"Cancel{other}", f"/runs/{sync_id}/cancel", "cancelled")


def resume(sync_id: int) -> Button:
    return Button(f"Resume run {sync_id}", f"/runs/{sync_id}/resume", "retry")


# ---- beside the run -------------------------------------------------------------------------------------------------


def title(documents: list[Document]) -> str:
    """Of the window: short, for it stands on a tab."""
    moving = [each for each in documents if messages.situation(each) in {"going", "finishing"}]
    paused = [each for each in documents if each["waiting_until"]]
    if len(documents) == 1 and moving:
        current = documents[0]["phases"].get(documents[0]["current_phase"]) or {}
        share = current.get("percent_complete")
        return f"{documents[0]['current_phase']} {share:.0f}% · spotisync" if share is not None else "going · spotisync"
    return "paused · spotisync" if paused else "spotisync"


def changed(run: Document) -> str:
    """As it stands in a list: `+12 ~3`."""
    signs = (("added", "+"), ("updated", "~"), ("removed", "\N{MINUS SIGN}"))
    said = [f"{sign}{run[f'items_{kind}']:,}" for kind, sign in signs if run[f"items_{kind}"]]
    return " ".join(said) or ("nothing" if run["status"] == "success" else "")


@dataclass(frozen=True)
class Meter:
    """So much of what may be. No percentage: nobody knows how much may be."""

    label: str
    messages: str
    percent: float | None = None
    look: str = "in_progress"


def meters(document: Document) -> list[Meter]:
    """Requests sent, and the room there is for more."""
    calls = document.get("calls") or {}
    window, saved, of_run = calls.get("window"), calls.get("saved"), document["api_calls"]
    return [
        *([Meter("This run" if not is_over(document) else "The last run", f"{of_run:,}")] if of_run else []),
        *([Meter("Saved in this run", f"{saved:,}")] if saved else []),
        *([_meter(f"In the last {window['seconds']} s", window["used"], window["ceiling"])] if window else []),
        *(
            _meter(f"{messages.REQUESTS.get(family, family)} in 24 h".capitalize(), each["used"], each["budget"])
            for family, each in calls.get("day", {}).items()
            if each["used"] or each["budget"]
        ),
    ]


def _meter(label: str, used: int | None, most: int | None) -> Meter:
    if used is None:
        return Meter(label, "not known")
    if not most:
        return Meter(label, f"{used:,}")
    share = min(100.0, 100 * used / most)
    return Meter(label, f"{used:,} of {most:,}", share, "rate_limited" if share >= NEARLY else "in_progress")


def coming(document: Document) -> list[Document]:
    """What comes by itself."""
    return [{**each, "label": KINDS.get(each["kind"], each["kind"])} for each in document.get("upcoming") or []]


def fresh(document: Document) -> list[tuple[str, str]]:
    """How old each list is."""
    read = document.get("read_at") or {}
    return [(label, read[name]["words"]) for name, label in LISTS.items() if name in read]
