"""Models of the API's documents, used for validation of requests and for the OpenAPI document.

Responses come from the read model and may gain fields in a new release; the fields documented here remain.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from spotisync.core.states import Status
from spotisync.sync.runs import SyncType, Trigger
from spotisync.web.dependencies import NO_NUL

NOW: Final = "2026-11-23T08:50:00+00:00"
LATER: Final = "2026-11-23T12:02:00+00:00"
Count = Annotated[int, Field(ge=0)]


class ExtensibleModel(BaseModel):
    model_config = ConfigDict(extra="allow")


class Eta(ExtensibleModel):
    """Earliest and latest time of completion, waits included."""

    earliest: datetime
    latest: datetime


class PhaseState(ExtensibleModel):
    """Progress of a phase."""

    status: Status
    current_offset: Count
    total_items: Count | None = Field(description="Null while unknown")
    items_processed: Count
    items_added: Count
    items_updated: Count
    items_removed: Count
    items_deferred: Count = Field(description="Deferred to a later run")
    percent_complete: float | None = Field(ge=0, le=100, description="Null while the total is unknown; never decreases")
    last_error: str | None
    rate_limit_reset_at: datetime | None


class LivePhase(PhaseState):
    eta: Eta | None = Field(description="Null if unknown or completed")


class Phases(ExtensibleModel):
    tracks: LivePhase
    artists: LivePhase
    albums: LivePhase
    playlists: LivePhase


class NoPhases(BaseModel):
    model_config = ConfigDict(extra="forbid", title="No phases (no run yet)")


EXAMPLE_PHASE: Final[dict[str, Any]] = {
    "status": "rate_limited",
    "current_offset": 1250,
    "total_items": 3500,
    "items_processed": 1247,
    "items_added": 1247,
    "items_updated": 0,
    "items_removed": 0,
    "items_deferred": 0,
    "percent_complete": 35.6,
    "last_error": None,
    "rate_limit_reset_at": LATER,
    "eta": {"earliest": "2026-11-23T12:04:00+00:00", "latest": "2026-11-23T12:08:00+00:00"},
}
PENDING_PHASE: Final[dict[str, Any]] = {
    **EXAMPLE_PHASE,
    "status": "pending",
    "current_offset": 0,
    "total_items": None,
    "items_processed": 0,
    "items_added": 0,
    "percent_complete": None,
    "rate_limit_reset_at": None,
    "eta": None,
}
EXAMPLE_RUN: Final[dict[str, Any]] = {
    "sync_id": 12,
    "account": "alice",
    "sync_type": "full",
    "status": "rate_limited",
    "trigger": "api",
    "started_at": "2026-11-23T08:49:00+00:00",
    "completed_at": None,
    "items_processed": 1247,
    "items_added": 1247,
    "items_updated": 0,
    "items_removed": 0,
    "items_deferred": 0,
    "api_calls": 26,
    "last_error": None,
    "current_phase": "tracks",
    "current_batch": 7,
}
EXAMPLE_STATUS: Final[dict[str, Any]] = {
    **EXAMPLE_RUN,
    "display_name": "Alice",
    "account_status": "active",
    "phases": {
        "tracks": EXAMPLE_PHASE,
        "artists": PENDING_PHASE,
        "albums": PENDING_PHASE,
        "playlists": PENDING_PHASE,
    },
    "eta": {"earliest": "2026-11-23T12:04:00+00:00", "latest": "2026-11-23T12:20:00+00:00"},
    "message": "Paused until 12:02 (3 h 12 min): Spotify rate limit.",
    "waiting_for": "Spotify rate limit",
    "waiting_until": LATER,
    "safe": "All items read so far are stored.",
    "still_runs": "Plays are still recorded.",
    "to_do": "Nothing.",
    "notes": [],
    "deferred": [],
    "rejected_messages": None,
    "more_accounts": 0,
    "as_of": NOW,
    "time_zone": "UTC",
}


class RunModel(ExtensibleModel):
    """A run in the history."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE_RUN})

    sync_id: int
    account: str
    sync_type: SyncType
    status: Status
    trigger: Trigger
    started_at: datetime
    completed_at: datetime | None
    items_processed: Count
    items_added: Count
    items_updated: Count
    items_removed: Count
    items_deferred: Count
    api_calls: Count
    last_error: str | None
    current_phase: Literal["tracks", "artists", "albums", "playlists", "finish"]
    current_batch: Count


class Deferred(ExtensibleModel):
    """Something that the last run could not read or prove."""

    kind: Literal["list", "removal", "playlist"] = Field(
        description="removal: of most rows of a list at once, which is held"
    )
    id: str = Field(description="A playlist's id, or the name of a list's table")
    name: str | None
    reason: str | None
    retry_at: datetime | None = Field(description="Until then, scheduled syncs do not try it again")
    confirmed: bool = Field(description="A removal that the next sync applies")


class RejectedMessages(ExtensibleModel):
    count: Count
    last_at: datetime


class StatusMessages(ExtensibleModel):
    """Messages that describe the state."""

    message: str = Field(description="One or two sentences that describe the state")
    waiting_for: str | None = Field(description="The family of requests that the run waits for")
    waiting_until: datetime | None
    safe: str | None = Field(description="What is stored already")
    still_runs: str | None = Field(description="What continues while the run waits")
    to_do: str = Field(description="What to do, with the command")
    notes: list[str]
    as_of: datetime = Field(description="Time of reading, by the database's clock")
    time_zone: str
    eta: Eta | None
    deferred: list[Deferred] = Field(description="What the last run could not read or prove")
    rejected_messages: RejectedMessages | None = Field(
        description="Malformed or surplus messages that workers have removed from the broker"
    )
    more_accounts: int = Field(
        description="In a list: accounts that have no document in it. Those with unfinished runs come first"
    )


class RunStatus(RunModel, StatusMessages):
    """A run with its four phases."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE_STATUS}, extra="allow")

    display_name: str | None
    account_status: str
    phases: Phases


class NeverSynced(StatusMessages):
    """The state of an account without runs, or without any account."""

    sync_id: None
    status: None
    account: str | None
    account_status: str | None
    phases: NoPhases


class StartRequest(BaseModel):
    """The kind of sync and the account."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"sync_type": "incremental", "account": "alice"}}
    )

    sync_type: SyncType
    account: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        pattern=NO_NUL,
        description="Spotify user id; may be null if there is only one account",
    )


StatusDocument = RunStatus | NeverSynced


# ---- budgets --------------------------------------------------------------------------------------------------------

Hours = Annotated[list[Count], Field(min_length=24, max_length=24)]
EXAMPLE_FAMILY: Final[dict[str, Any]] = {
    "family": "library",
    "label": "Library",
    "spent": 312,
    "ceiling": 600,
    "source": "learned",
    "learned_at": "2026-11-20T03:10:00+00:00",
    "allowance": 540,
    "reserved": 60,
    "single_lookups": None,
    "blocked_until": None,
    "blocked_reason": None,
    "blocked_family": None,
    "free_at": None,
    "past": [13] * 24,
    "coming": [12] * 24,
    "expected": 288,
    "short_at": None,
    "words": "Library: 312 of about 600 calls spent in 24 h (learned on 20 Nov); scheduled syncs may use 540; about "
    "288 expected by tomorrow 08:50.",
}


class FamilyState(ExtensibleModel):
    """The calls of one family of requests."""

    family: Literal["library", "playlists", "artists", "albums", "player"]
    label: str
    spent: Count = Field(description="In the last 24 hours")
    ceiling: Count | None = Field(description="Null while none is known")
    source: Literal["set", "learned", "assumed"] | None = Field(
        description="set: SPOTISYNC_BUDGET_*; learned: from Spotify's last refusal; assumed: stops nothing"
    )
    learned_at: datetime | None = Field(description="When Spotify refused")
    allowance: Count | None = Field(description="What scheduled work may spend")
    reserved: Count | None = Field(description="What it leaves for people and plays")
    blocked_until: datetime | None
    single_lookups: Count | None = Field(description="SPOTISYNC_ENRICHMENT_BUDGET, where it limits look-ups")
    blocked_reason: Literal["rate", "quota", "manual"] | None
    blocked_family: str | None = Field(description="This family, or * if all requests are blocked")
    free_at: datetime | None = Field(description="When scheduled work may spend again; null if it may now")
    past: Hours = Field(description="Calls of each of the last 24 hours, oldest first")
    coming: Hours = Field(description="Expected calls of each of the next 24 hours")
    expected: Count
    short_at: datetime | None = Field(description="From when on some scheduled work is expected to wait")
    words: str


class DeveloperState(ExtensibleModel):
    developer: str
    is_default: bool = Field(description="The owner of the app of SPOTIPY_CLIENT_ID")
    accounts: Count = Field(description="Active accounts that use its apps")
    families: list[FamilyState]


class BudgetDocument(ExtensibleModel):
    """Budgets of developer accounts, by whom Spotify counts calls."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "as_of": NOW,
                "time_zone": "UTC",
                "developers": [
                    {"developer": "client id", "is_default": True, "accounts": 1, "families": [EXAMPLE_FAMILY]}
                ],
                "more_developers": 0,
                "lookups": [],
            }
        },
    )

    as_of: datetime
    time_zone: str
    developers: list[DeveloperState]
    more_developers: int = Field(description="Developer accounts that are left out; to see one, name its account")
    lookups: list[dict[str, Any]] = Field(description="Pending look-ups, and when they are expected to be done")
