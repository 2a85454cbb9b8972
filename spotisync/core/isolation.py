"""Put aside what can't be read, alone, and go on with what stands behind it. Pure."""

from dataclasses import replace

from spotisync.core import listing, tracks
from spotisync.core.cursors import Contents, Cursor, Listing, Lookups
from spotisync.core.incremental import Incremental
from spotisync.core.requests import Request
from spotisync.core.steps import DeferralStep, LookupStep, Step
from spotisync.core.walk import TracksWalk

# Further failing look-ups show that it is the endpoint that fails, not an id.
MOST_ISOLATED = 3


def isolate(cursor: Cursor, request: Request, reason: str) -> Step:
    """Return the step that leaves out what `request` asks for: a page, ids, a playlist or a whole list."""
    deferral = DeferralStep(reason=reason, failed=True)
    match cursor:
        case TracksWalk():
            return tracks.pass_by_walk(cursor) or deferral
        case Incremental():
            return deferral
        case Listing():
            return listing.pass_by(cursor) or deferral
        case Lookups():
            return _isolate_ids(cursor, frozenset(request.ids)) if cursor.isolated < MOST_ISOLATED else deferral
        case Contents():
            return DeferralStep(reason=reason, failed=True, playlist_id=request.playlist_id)


def _isolate_ids(cursor: Lookups, ids: frozenset[str]) -> LookupStep:
    """Look up each of several ids alone; give up a single one."""
    cursor = replace(cursor, isolated=cursor.isolated + 1)
    missed, given_up = (ids, frozenset[str]()) if len(ids) > 1 else (frozenset[str](), ids)
    return LookupStep(cursor=cursor, entity=cursor.entity, missed=missed, given_up=given_up)
