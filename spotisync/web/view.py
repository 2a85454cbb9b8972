"""View models of a status document: icons, bars, buttons, meters. Pure functions, used by the templates."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from spotisync.core.durations import format_duration
from spotisync.core.states import OVER
from spotisync.status import messages, times
from spotisync.web.labels import BLOCKED_PHASES, KINDS, LISTS, SITUATIONS, STATES

Document = dict[str, Any]

BUTTONS: Final = [
    (re.compile(rf"\b{command}(?=[\s.,;:)]|$)"), button)
    for command, button in (
        (r"spotisync login", "open “Accounts”"),
        (r"spotisync accounts (enable|list)( [^\s.,;]+)?", "open “Accounts”"),
        (r"spotisync accounts confirm-removal \S+", "press “Remove …”"),
        (r"spotisync resume \d+", "press “Resume”"),
        (r"spotisync sync full( --wait)?( --account \S+)?", "press “Full sync”"),
        (r"spotisync status( --account \S+)?", "open “Status”"),
        (r"spotisync (budget|limits clear)", "open “Budget”"),
    )
]

# Percent of a limit from which its meter shows a warning.
WARNING_PERCENT: Final = 85


# ---- times and durations --------------------------------------------------------------------------------------------


def format_time(document: Document, iso: str) -> str:
    return times.format_time(document, datetime.fromisoformat(iso))


def format_day_and_time(document: Document, iso: str) -> str:
    """`23 Nov 09:49`."""
    zone = ZoneInfo(document["time_zone"])
    local, today = datetime.fromisoformat(iso).astimezone(zone), times.now(document).astimezone(zone)
    return f"{times.format_day(local, today)} {local:%H:%M}"


def format_seconds(document: Document, iso: str) -> str:
    """`09:49:07`, with the day if it is not today."""
    zone = ZoneInfo(document["time_zone"])
    local, today = datetime.fromisoformat(iso).astimezone(zone), times.now(document).astimezone(zone)
    return f"{local:%H:%M:%S}" if local.date() == today.date() else f"{times.format_day(local, today)} {local:%H:%M:%S}"


def format_until(document: Document, iso: str) -> str:
    return format_duration(times.seconds_until(document, datetime.fromisoformat(iso)))


def format_since(document: Document, iso: str) -> str:
    return format_duration(-times.seconds_until(document, datetime.fromisoformat(iso)))


def format_run_time(run: Document, now: str | None = None) -> str:
    """Duration of a run; of an unfinished one until `now`, or empty without it."""
    ended = times.parse(run["completed_at"] or now)
    return format_duration((ended - datetime.fromisoformat(run["started_at"])).total_seconds()) if ended else ""


# ---- the state of a run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StateIcon:
    """`style` is a status, which is the CSS class for its colour."""

    style: str
    name: str
    spins: bool = False


def get_icon(document: Document) -> StateIcon:
    if document["account_status"] == "needs_login":
        return StateIcon("failed", "failed")
    situation = messages.get_situation(document)
    style, name = SITUATIONS.get(situation, (situation, situation))
    return StateIcon(style, name, spins=style == "in_progress")


def get_headline(document: Document) -> str:
    """The message without the remaining time, which the countdown shows."""
    message = name_buttons(document["message"])
    if document["waiting_until"]:
        return message.replace(f" ({format_until(document, document['waiting_until'])})", "", 1)
    return message


def get_announcement(document: Document) -> str:
    """A message for screen readers that changes with the state but not with every number."""
    match messages.get_situation(document):
        case "running":
            return f"{messages.DOING[document['current_phase']]}."
        case "paused" | "waiting":
            return f"Waiting until {format_time(document, document['waiting_until'])}: {document['waiting_for']}."
        case "retrying":
            return "Retrying after an error."
        case "worker_lost":
            return "The worker was lost; another worker will continue."
        case "unclaimed":
            return "Waiting for a worker."
        case "finishing":
            return "Finishing."
    return get_headline(document)


describe_rejections, describe_removals = messages.describe_rejections, messages.describe_removals


def is_over(run: Document) -> bool:
    return run["status"] in OVER


def is_going_well(document: Document) -> bool:
    """True while running and after success: no need to say what is stored."""
    return messages.get_situation(document) in {"running", "finishing", "success"}


def get_run_title(run: Document) -> str:
    return f"{KINDS[run['sync_type']]} of {run['account']}"


def get_to_do(document: Document) -> str | None:
    """Return None if the user need not do anything."""
    to_do: str = document["to_do"]
    return None if to_do.startswith("Nothing") else name_buttons(to_do)


def name_buttons(text: str) -> str:
    """Replace commands by the buttons and pages that do the same."""
    for command, button in BUTTONS:
        text = command.sub(button, text)
    return text


# ---- bars -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """Progress of a phase. `percent` is None while the total is unknown."""

    label: str
    status: str
    state: str
    amount: str
    percent: float | None
    details: str

    @property
    def is_indeterminate(self) -> bool:
        return self.percent is None and self.status == "in_progress"

    @property
    def width(self) -> float:
        return (0.0 if self.status != "in_progress" else 25.0) if self.percent is None else self.percent

    @property
    def valuetext(self) -> str:
        share = "" if self.percent is None else f"{self.percent:.0f}%"
        return ", ".join(filter(None, (self.amount, share, self.state)))


def get_bars(document: Document) -> list[Bar]:
    return [_build_bar(document, label, phase) for label, phase in document["phases"].items()]


def _build_bar(document: Document, label: str, phase: Document) -> Bar:
    is_started = phase["status"] in {"in_progress", "rate_limited"}
    details = (_format_rate(phase), _format_deferred(phase), _format_eta(document, phase), _get_error(phase))
    blocked = BLOCKED_PHASES.get(messages.get_situation(document)) if is_started else None
    expected = messages.get_expected(document, label)
    percent = 100.0 if phase["status"] == "success" else phase["percent_complete"] if expected is not None else None
    return Bar(
        label.capitalize(),
        "rate_limited" if blocked else phase["status"],
        blocked or _get_state(phase),
        _format_amount(phase, expected),
        None if percent is None else min(100.0, float(percent)),
        " · ".join(filter(None, details)),
    )


def _get_state(phase: Document) -> str:
    if phase["status"] == "in_progress" and phase["failures"]:
        return "retrying"
    return STATES[phase["status"]]


def _format_amount(phase: Document, total: int | None) -> str:
    """`1,247 of 3,500`."""
    done = phase["items_processed"]
    if phase["status"] == "pending" and not done:
        return ""
    if total is None or phase["status"] == "success":
        return f"{done:,}"
    return f"{done:,} of {total:,}" if done <= total else f"{done:,} ({total:,} expected)"


def _format_rate(phase: Document) -> str:
    busy = phase.get("busy_seconds") or 0
    if phase["status"] != "in_progress" or busy < 1 or not phase["items_processed"]:
        return ""
    return f"about {phase['items_processed'] / busy:,.0f} per second"


def _format_deferred(phase: Document) -> str:
    return f"{phase['items_deferred']:,} deferred" if phase["items_deferred"] else ""


def _get_error(phase: Document) -> str:
    error = (phase["last_error"] or "").partition("\n")[0]
    return error if phase["status"] != "success" and phase["failures"] else ""


def _format_eta(document: Document, phase: Document) -> str:
    eta = phase.get("eta")
    if not eta:
        return ""
    earliest, latest = (format_time(document, eta[each]) for each in ("earliest", "latest"))
    return f"done about {earliest}" if earliest == latest else f"done between {earliest} and {latest}"


# ---- buttons --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Button:
    """A submit button that posts to `path`."""

    label: str
    path: str
    icon: str
    value: str = ""
    style: str = ""


FULL: Final = Button("Full sync", "/runs", "start", "full")
INCREMENTAL: Final = Button("Sync now", "/runs", "diff", "incremental")


def get_buttons(document: Document) -> list[Button]:
    """Return the allowed actions, the most likely one first."""
    can = document["can"]
    found = [
        *([build_cancel_button(can["cancel"], document)] if can["cancel"] else []),
        *([_build_resume_button(can["resume"], document)] if can["resume"] else []),
        # The first sync of an account is always a full one.
        *([INCREMENTAL] if can["incremental"] and document["sync_id"] else []),
        *([replace(FULL, label=_label_full(document))] if can["full"] else []),
    ]
    if found:
        found[0] = replace(found[0], style="" if can["cancel"] else "primary")
    return [*found, *get_removal_buttons(document)]


def _label_full(document: Document) -> str:
    return "Continue with the reserve" if document["status"] == "rate_limited" else FULL.label


def get_removal_buttons(document: Document) -> list[Button]:
    """One button if removals are held, else none."""
    if not document["can"]["confirm_removal"]:
        return []
    rows = messages.list_rows(messages.find_held_removals(document))
    return [Button(f"Remove {rows}", "/accounts/confirm-removal", "removed", style="danger")]


def get_run_buttons(document: Document) -> list[Button]:
    """Return the buttons of the run's own page."""
    can, sync_id = document["can"], document["sync_id"]
    if can["cancel"] == sync_id:
        return [build_cancel_button(sync_id, document)]
    return [replace(_build_resume_button(sync_id, document), style="primary")] if can["resume"] == sync_id else []


def build_cancel_button(sync_id: int, document: Document) -> Button:
    return Button(f"Cancel{_name_other_run(sync_id, document)}", f"/runs/{sync_id}/cancel", "cancelled")


def _build_resume_button(sync_id: int, document: Document) -> Button:
    return Button(f"Resume{_name_other_run(sync_id, document)}", f"/runs/{sync_id}/resume", "retry")


def _name_other_run(sync_id: int, document: Document) -> str:
    return "" if sync_id == document["sync_id"] else f" run {sync_id}"


# ---- title, history, meters -----------------------------------------------------------------------------------------


def get_title(documents: list[Document]) -> str:
    """Return the title of the window, short enough for a tab."""
    running = [each for each in documents if messages.get_situation(each) in {"running", "finishing"}]
    paused = [each for each in documents if each["waiting_until"]]
    if len(documents) == 1 and running:
        phase = documents[0]["current_phase"]
        percent = documents[0]["phases"].get(phase, {}).get("percent_complete")
        return "running · spotisync" if percent is None else f"{phase} {percent:.0f}% · spotisync"
    return "paused · spotisync" if paused else "spotisync"


def format_changes(run: Document) -> str:
    """`+12 ~3`: items added, updated, removed."""
    signs = (("added", "+"), ("updated", "~"), ("removed", "\N{MINUS SIGN}"))
    counts = [f"{sign}{run[f'items_{kind}']:,}" for kind, sign in signs if run[f"items_{kind}"]]
    return " ".join(counts) or ("nothing" if run["status"] == "success" else "")


@dataclass(frozen=True)
class Meter:
    """A number of requests; `percent` of its limit, if that is known."""

    label: str
    text: str
    percent: float | None = None
    style: str = "in_progress"


def get_meters(document: Document) -> list[Meter]:
    """Return the requests sent and their limits."""
    calls = document.get("calls") or {}
    window, saved, sent = calls.get("window"), calls.get("saved"), document["api_calls"]
    return [
        *([Meter("Last run" if is_over(document) else "This run", f"{sent:,}")] if sent else []),
        *([Meter("Calls saved in this run", f"{saved:,}")] if saved else []),
        *([_build_meter(_name_window(window), window["used"], window["ceiling"])] if window else []),
        *(
            _build_meter(f"{messages.REQUESTS.get(family, family)} in 24 h".capitalize(), each["used"], each["budget"])
            for family, each in calls.get("day", {}).items()
            if each["used"] or (each["budget"] and each.get("source") != "assumed")
        ),
    ]


def _name_window(window: Document) -> str:
    return f"Last {window['seconds']} s{' (learned limit)' if window.get('learned') else ''}"


def _build_meter(label: str, used: int | None, limit: int | None) -> Meter:
    if used is None:
        return Meter(label, "unknown")
    if not limit:
        return Meter(label, f"{used:,}")
    percent = min(100.0, 100 * used / limit)
    style = "rate_limited" if percent >= WARNING_PERCENT else "in_progress"
    return Meter(label, f"{used:,} of {limit:,}", percent, style)


def get_upcoming(document: Document) -> list[Document]:
    """Return the scheduled runs with their labels."""
    return [
        {**each, "label": KINDS.get(each["kind"], each["kind"]), "words": name_buttons(each["words"])}
        for each in document.get("upcoming") or []
    ]


def get_freshness(document: Document) -> list[tuple[str, str]]:
    """Return for each list when it was read."""
    read = document.get("read_at") or {}
    return [(label, read[name]["words"]) for name, label in LISTS.items() if name in read]
