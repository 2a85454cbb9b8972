"""Status documents in any state, like those of the read model but without sentences."""

from typing import Any

NOW = "2026-11-23T08:50:00+00:00"
PHASES = ("tracks", "artists", "albums", "playlists")


def phase(**changes: Any) -> dict[str, Any]:
    return {
        "status": "pending",
        "current_offset": 0,
        "total_items": None,
        **dict.fromkeys(("items_processed", "items_added", "items_updated", "items_removed", "items_deferred"), 0),
        "batches": 0,
        "failures": 0,
        "percent_complete": None,
        "last_error": None,
        "rate_limit_reset_at": None,
        "busy_seconds": 0.0,
        "eta": None,
        **changes,
    }


def block(family: str, until: str, reason: str = "quota") -> dict[str, Any]:
    return {"family": family, "blocked_until": until, "reason": reason, "seconds": 60.0}


def document(status: str | None = "in_progress", **changes: Any) -> dict[str, Any]:
    """A run with 1,247 of 3,500 tracks stored at 08:50 UTC, which is 09:50 in Amsterdam."""
    tracks = phase(status=status, items_processed=1247, total_items=3500, batches=7, busy_seconds=21.0)
    return {
        "account": "alice",
        "display_name": None,
        "account_status": "active",
        "account_error": None,
        "sync_id": 12,
        "sync_type": "full",
        "status": status,
        "trigger": "cli",
        "started_at": "2026-11-23T08:49:00+00:00",
        "completed_at": None,
        **dict.fromkeys(("items_added", "items_updated", "items_removed", "items_deferred"), 0),
        "items_processed": 1247,
        "api_calls": 26,
        "last_error": None,
        "current_phase": "tracks",
        "current_batch": 7,
        "family": "library",
        "phases": {"tracks": tracks, **{name: phase() for name in PHASES[1:]}},
        "worker": {"has_it": False, "alive": False, "last_advance": NOW},
        "to_look_up": {},
        "other_runs": [],
        "as_of": NOW,
        "time_zone": "Europe/Amsterdam",
        "blocked": [],
        "schedule": {"last_sweep": NOW, "sweep_interval": 10},
        "eta": None,
        **changes,
    }


AT_WORK = {"has_it": True, "alive": True, "last_advance": NOW}
NO_RUN: dict[str, Any] = {"status": None, "sync_id": None, "phases": {}, "worker": None, "current_phase": None}
