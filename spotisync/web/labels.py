"""Labels, styles and icons of statuses, kinds of runs, changes and events."""

from typing import Final

from spotisync.status import messages

STATES: Final = messages.STATUS_LABELS
TRIGGERS: Final = messages.TRIGGERS
KINDS: Final = {
    "full": "Full sync",
    "incremental": "Incremental sync",
    "playback": "Plays",
    "enrich": "Look-ups",
    "sweep": "Sweep",
}
FAMILIES: Final = messages.REQUESTS
LISTS: Final = {
    "tracks": "Saved tracks",
    "saved_albums": "Saved albums",
    "followed_artists": "Followed artists",
    "playlists": "Playlists",
}
# Icon and label of a change.
CHANGES: Final = {
    "added": ("added", "saved"),
    "removed": ("removed", "no longer saved"),
    "new": ("added", "new playlist"),
    "gone": ("removed", "playlist removed"),
    "changed": ("changed", "playlist changed"),
}
# Style (a status) and icon of an event in the timeline.
EVENTS: Final = {
    "begun": ("in_progress", "start"),
    "batch": ("in_progress", "batch"),
    "batches": ("in_progress", "batch"),
    "wait": ("rate_limited", "wait"),
    "parked": ("rate_limited", "rate_limited"),
    "woken": ("in_progress", "start"),
    "retried": ("rate_limited", "retry"),
    "lost": ("failed", "lost"),
    "resumed": ("in_progress", "start"),
    "put_off": ("pending", "calendar"),
    "success": ("success", "success"),
    "failed": ("failed", "failed"),
    "cancelled": ("cancelled", "cancelled"),
}
# State of a started phase while its run makes no progress.
BLOCKED_PHASES: Final = {"paused": "paused", "waiting": "waiting", "worker_lost": "waiting"}
# Style (a status) and icon of a situation that is not simply a status.
SITUATIONS: Final = {
    "no_account": ("pending", "person"),
    "no_run": ("pending", "mark"),
    "pending": ("pending", "pending"),
    "paused": ("rate_limited", "rate_limited"),
    "waiting": ("rate_limited", "wait"),
    "due": ("pending", "wait"),
    "retrying": ("rate_limited", "retry"),
    "unclaimed": ("pending", "wait"),
    "worker_lost": ("rate_limited", "lost"),
    "running": ("in_progress", "in_progress"),
    "finishing": ("in_progress", "in_progress"),
}
