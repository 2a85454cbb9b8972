"""The account's own pages: profile, saved tracks, albums and shows, followed artists, plays."""

from bisect import bisect_right

from spotisync.simulator.http.request import ApiRequest, Reply, refusal
from spotisync.simulator.http.rows import saved_audiobook, saved_episode, saved_show
from spotisync.simulator.http.text import array, dumps, join, page
from spotisync.simulator.world.library import NO_TRACK, PlayedTrack
from spotisync.simulator.world.times import iso_ms


def me(request: ApiRequest) -> Reply:
    library = request.library
    members = {
        **request.shapes.link("user", library.id),
        "account_id": library.account_id,
        "display_name": library.display_name,
        "images": [],
    }
    if not request.shapes.restricted:
        members |= {
            "country": "NL",
            "email": f"{library.id}@example.com",
            "explicit_content": {"filter_enabled": False, "filter_locked": False},
            "followers": {"href": None, "total": 21},
            "product": "premium",
        }
    return Reply(200, dumps(members))


def saved_tracks(request: ApiRequest) -> Reply:
    offset, limit = request.window()
    saved = request.library.saved
    rows = [_saved_row(request, added, track) for added, track in saved.page(offset, limit)]
    return Reply(200, page(request.url, rows, len(saved), offset, limit))


def _saved_row(request: ApiRequest, added: int, track: int) -> str:
    if track not in request.library.hidden:
        return request.shapes.saved_row(added, track)
    return "null" if request.library.hidden[track] else request.shapes.saved_row(added, NO_TRACK)


def saved_albums(request: ApiRequest) -> Reply:
    offset, limit = request.window()
    albums = request.library.albums
    hidden = request.library.hidden_albums
    rows = [
        request.shapes.album_row(added, None if album in hidden else album)
        for added, album in albums[offset : offset + limit]
    ]
    return Reply(200, page(request.url, rows, len(albums), offset, limit))


def saved_shows(request: ApiRequest) -> Reply:
    """List podcasts, and audiobooks in the same form (Peter-Schorn/SpotifyAPI#67, crmne/fastpotify#537)."""
    offset, limit = request.window()
    shows = request.library.shows
    rows = [saved_show(request.shapes, added, show) for added, show in shows[offset : offset + limit]]
    return Reply(200, page(request.url, rows, len(shows), offset, limit))


def saved_episodes(request: ApiRequest) -> Reply:
    offset, limit = request.window()
    episodes = request.library.episodes
    rows = [saved_episode(request.shapes, added, episode) for added, episode in episodes[offset : offset + limit]]
    return Reply(200, page(request.url, rows, len(episodes), offset, limit))


def saved_audiobooks(request: ApiRequest) -> Reply:
    """List audiobooks, which have no date of their own (Peter-Schorn/SpotifyAPI#67)."""
    offset, limit = request.window()
    books = request.library.books if request.library.has_books else []
    rows = [saved_audiobook(request.shapes, book) for book in books[offset : offset + limit]]
    return Reply(200, page(request.url, rows, len(books), offset, limit))


def followed_artists(request: ApiRequest) -> Reply:
    """Page by the last id. The list is sorted by id, so a cursor stays valid when its artist is no longer followed."""
    if request.query.get("type") != "artist":
        raise refusal(400, "Invalid type")
    limit, after = request.limit(), request.query.get("after", "")
    followed = request.library.followed
    start = bisect_right(followed, after, key=lambda row: row[0])
    part = followed[start : start + limit]
    cursor = part[-1][0] if start + limit < len(followed) else None
    link = f"{request.url}?type=artist&limit={limit}"
    plain = {
        "cursors": {"after": cursor},
        "href": f"{link}&after={after}" if after else link,
        "limit": limit,
        "next": f"{link}&after={cursor}" if cursor else None,
        "total": len(followed),
    }
    items = array([request.shapes.artist(number) for _, number in part])
    return Reply(200, join({}, artists=join(plain, items=items)))


def top_items(request: ApiRequest) -> Reply:
    kind, time_range = request.args[0], request.query.get("time_range", "medium_term")
    if kind not in {"artists", "tracks"} or time_range not in {"short_term", "medium_term", "long_term"}:
        raise refusal(400, "Invalid type or time_range")
    offset, limit = request.window()
    ranked = request.world.top(request.library, kind, time_range)
    write = request.shapes.artist if kind == "artists" else request.shapes.track
    return Reply(200, page(request.url, list(map(write, ranked[offset : offset + limit])), len(ranked), offset, limit))


def recently_played(request: ApiRequest) -> Reply:
    """Answer with at most the last 50 plays, newest first.

    With `play_shift`, each reply reports a play at a slightly different time.
    """
    limit = request.limit()
    plays = _plays_between(request)[:limit]
    cursors = {"after": str(plays[0].played_at), "before": str(plays[-1].played_at)} if plays else None
    plain = {
        "cursors": cursors,
        "href": f"{request.url}?limit={limit}",
        "limit": limit,
        "next": f"{request.url}?before={cursors['before']}&limit={limit}" if cursors else None,
    }
    return Reply(200, join(plain, items=array([_play(request, play) for play in plays])))


def _plays_between(request: ApiRequest) -> list[PlayedTrack]:
    if "after" in request.query and "before" in request.query:
        raise refusal(400, "Both before and after are set")
    after = request.number("after", 0, 0, 10**15)
    before = request.number("before", 10**15, 0, 10**15)
    plays = [request.world.report(play) for play in request.library.visible_plays()]
    return [play for play in reversed(plays) if after < play.played_at < before]


def _play(request: ApiRequest, play: PlayedTrack) -> str:
    context = None
    if play.context_album is not None:
        context = request.shapes.link("album", request.world.catalogue.album(play.context_album).id)
        del context["id"]
    plain = {"context": context, "played_at": iso_ms(play.played_at)}
    return join(plain, track=request.shapes.track(play.track))
