"""Names, colours and icons: of states, kinds of runs, changes, and of what happened."""

from typing import Final

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
LISTS: Final = {
    "tracks": "Saved tracks",
    "saved_albums": "Saved albums",
    "followed_artists": "Followed artists",
    "playlists": "Playlists",
}
# Of a change: its icon, and what it is in words.
CHANGES: Final = {
    "added": ("added", "saved"),
    "removed": ("removed", "no longer saved"),
    "new": ("added", "new playlist"),
    "gone": ("removed", "playlist gone"),
    "changed": ("changed", "playlist changed"),
}
# Of what happened: the colour of a status, and an icon.
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
# What a phase does that has begun, while its run does not move.
STANDING: Final = {"parked": "waiting", "waiting": "waiting", "orphaned": "interrupted"}
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
