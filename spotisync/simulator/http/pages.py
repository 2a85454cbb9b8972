"""What the account has: profile, saved tracks and albums, followed artists, plays."""

from bisect import bisect_right

from spotisync.simulator.http.request import Ask, Reply, refused
from spotisync.simulator.http.text import dumps, join, listed, page
from spotisync.simulator.world.library import NO_TRACK, Play
from spotisync.simulator.world.times import iso_ms


def me(ask: Ask) -> Reply:
    library = ask.library
    members = {
        **ask.shapes.link("user", library.id),
        "account_id": library.account_id,
        "display_name": library.display_name,
        "images": [],
    }
    if not ask.shapes.restricted:
        members |= {
            "country": "NL",
            "email": f"{library.id}@example.com",
            "explicit_content": {"filter_enabled": False, "filter_locked": False},
            "followers": {"href": None, "total": 21},
            "product": "premium",
        }
    return Reply(200, dumps(members))


def saved_tracks(ask: Ask) -> Reply:
    offset, limit = ask.window()
    saved = ask.library.saved
    rows = [_saved_row(ask, added, track) for added, track in saved.page(offset, limit)]
    return Reply(200, page(ask.url, rows, len(saved), offset, limit))


def _saved_row(ask: Ask, added: int, track: int) -> str:
    if track not in ask.library.hidden:
        return ask.shapes.saved_row(added, track)
    return "null" if ask.library.hidden[track] else ask.shapes.saved_row(added, NO_TRACK)


def saved_albums(ask: Ask) -> Reply:
    offset, limit = ask.window()
    albums = ask.library.albums
    rows = [ask.shapes.album_row(added, album) for added, album in albums[offset : offset + limit]]
    return Reply(200, page(ask.url, rows, len(albums), offset, limit))


def followed_artists(ask: Ask) -> Reply:
    """Page by the last id: the list is kept by id, so a cursor stays good when its artist is no longer followed."""
    if ask.query.get("type") != "artist":
        raise refused(400, "Invalid type")
    limit, after = ask.number("limit", 20, 1, 50), ask.query.get("after", "")
    followed = ask.library.followed
    start = bisect_right(followed, after, key=lambda entry: entry[0])
    part = followed[start : start + limit]
    cursor = part[-1][0] if start + limit < len(followed) else None
    link = f"{ask.url}?type=artist&limit={limit}"
    plain = {
        "cursors": {"after": cursor},
        "href": f"{link}&after={after}" if after else link,
        "limit": limit,
        "next": f"{link}&after={cursor}" if cursor else None,
        "total": len(followed),
    }
    items = listed([ask.shapes.artist(number) for _, number in part])
    return Reply(200, join({}, artists=join(plain, items=items)))


def recently_played(ask: Ask) -> Reply:
    """Answer the last fifty plays at most, newest first; further back there is nothing.

    With `play_shift`, each answer tells the end of a play some seconds off.
    """
    limit = ask.number("limit", 20, 1, 50)
    plays = _plays_between(ask)[:limit]
    cursors = {"after": str(plays[0].played_at), "before": str(plays[-1].played_at)} if plays else None
    plain = {
        "cursors": cursors,
        "href": f"{ask.url}?limit={limit}",
        "limit": limit,
        "next": f"{ask.url}?before={cursors['before']}&limit={limit}" if cursors else None,
    }
    return Reply(200, join(plain, items=listed([_play(ask, play) for play in plays])))


def _plays_between(ask: Ask) -> list[Play]:
    if "after" in ask.query and "before" in ask.query:
        raise refused(400, "Both before and after are set")
    after = ask.number("after", 0, 0, 10**15)
    before = ask.number("before", 10**15, 0, 10**15)
    told = [ask.world.report(play) for play in ask.library.told_plays()]
    return [play for play in reversed(told) if after < play.played_at < before]


def _play(ask: Ask, play: Play) -> str:
    context = None
    if play.context_album is not None:
        context = ask.shapes.link("album", ask.world.catalogue.album(play.context_album).id)
        del context["id"]
    plain = {"context": context, "played_at": iso_ms(play.played_at)}
    return join(plain, track=ask.shapes.track(play.track))
