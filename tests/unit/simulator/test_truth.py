"""What a client reads over HTTP equals the truth, before and after edits, in both regimes."""

from collections import defaultdict
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from spotisync.simulator import Server, start
from spotisync.simulator.world.editor import HABITS, PATROL_EDITS

from .reader import Reader

Document = dict[str, Any]


class Crawl:
    """Collects everything one account can see."""

    def __init__(self, reader: Reader, *, restricted: bool) -> None:
        self.reader, self.restricted = reader, restricted
        self.tracks: dict[str, Document] = {}
        self.artists: dict[str, Document] = {}
        self.albums: dict[str, Document] = {}
        self.seen: defaultdict[str, set[str]] = defaultdict(set)

    def track(self, row: Document | None, where: str) -> str | None:
        if row is None:
            return None
        self.tracks[row["id"]] = row
        self.seen[row["id"]].add(where)
        self.album(row["album"], where)
        self.artists_of(row["artists"], where)
        return str(row["id"])

    def album(self, row: Document, where: str) -> None:
        self.albums[row["id"]] = row
        self.seen[row["id"]].add(where)
        self.artists_of(row["artists"], where)

    def artists_of(self, rows: Iterable[Document], where: str) -> None:
        for row in rows:
            self.artists[row["id"]] = row
            self.seen[row["id"]].add(where)

    def look_up(self, kind: str, ids: list[str], most: int) -> dict[str, Document | None]:
        if self.restricted:
            found = {id_: self.reader.get(f"/{kind}s/{id_}") for id_ in ids}
            return {id_: None if reply.status_code == 404 else reply.json() for id_, reply in found.items()}
        answers: dict[str, Document | None] = {}
        for start_ in range(0, len(ids), most):
            part = ids[start_ : start_ + most]
            answers |= zip(part, self.reader.json(f"/{kind}s", ids=",".join(part))[f"{kind}s"], strict=True)
        return answers

    def document(self) -> Document:
        saved: dict[str, str] = {}
        for row in self.reader.rows("/me/tracks"):
            if id_ := self.track(row["track"], "saved"):
                saved[id_] = max(row["added_at"], saved.get(id_, ""))
        playlists, items = self.playlists()
        plays = self.reader.json("/me/player/recently-played", limit=50)["items"]
        for play in plays:
            self.track(play["track"], "play")
        albums = [row for row in self.reader.rows("/me/albums") if row]
        for row in albums:
            self.album(row["album"], "saved_album")
        followed = list(self.reader.followed())
        self.artists_of(followed, "followed")
        return {
            "saved_tracks": [{"track_id": id_, "added_at": at} for id_, at in saved.items()],
            "tracks": {id_: track_facts(row, self.seen[id_]) for id_, row in self.tracks.items()},
            "track_artists": {id_: [each["id"] for each in row["artists"]] for id_, row in self.tracks.items()},
            "artists": self.artist_facts(),
            "albums": self.album_facts(),
            "playlists": playlists,
            "playlist_items": items,
            "saved_albums": [{"album_id": row["album"]["id"], "added_at": row["added_at"]} for row in albums],
            "followed_artists": [row["id"] for row in followed],
            "plays": [{"played_at": each["played_at"], "track_id": each["track"]["id"]} for each in reversed(plays)],
        }

    def playlists(self) -> tuple[list[Document], Document]:
        listed = [(offset, row) for offset, row in enumerate(self.reader.rows("/me/playlists", limit=4)) if row]
        playlists, items = [], {}
        for position, (offset, row) in enumerate(listed):
            status = self.reader.get(f"/playlists/{row['id']}/items", limit=1).status_code
            access = {200: "ok", 403: "forbidden", 404: "not_found"}[status]
            playlists.append({"position": position, "offset": offset, **playlist_facts(row), "access": access})
            if status == 200:
                rows = self.reader.rows(f"/playlists/{row['id']}/items", additional_types="track,episode")
                items[row["id"]] = [{"position": place, **self.item(each)} for place, each in enumerate(rows)]
        return playlists, items

    def item(self, row: Document) -> Document:
        inner = row["item"]
        kind = "unavailable" if inner is None else "local" if row["is_local"] else inner["type"]
        if kind == "track":
            self.track(inner, "playlist")
        return {
            "kind": kind,
            "track_id": inner["id"] if kind == "track" else None,
            "uri": inner and inner["uri"],
            "name": inner and inner["name"],
            "added_at": row["added_at"],
            "added_by": ((row["added_by"] or {}).get("id")) or None,
        }

    def artist_facts(self) -> Document:
        full = self.look_up("artist", list(self.artists), 50)
        return {id_: artist_facts(row, full[id_], self.seen[id_]) for id_, row in self.artists.items()}

    def album_facts(self) -> Document:
        full = self.look_up("album", list(self.albums), 20)
        return {id_: album_facts(row, full[id_], self.seen[id_]) for id_, row in self.albums.items()}


def image(row: Document | None) -> str | None:
    return row["images"][0]["url"] if row and row.get("images") else None


def whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def track_facts(row: Document, seen: set[str]) -> Document:
    return {
        **{key: row[key] for key in ("name", "uri", "duration_ms", "explicit", "disc_number", "track_number")},
        "album_id": row["album"]["id"],
        "isrc": row["external_ids"].get("isrc"),
        "popularity": row.get("popularity"),
        "seen_in": sorted(seen),
    }


def artist_facts(stub: Document, full: Document | None, seen: set[str]) -> Document:
    known = full or {}
    return {
        "name": stub["name"],
        "uri": stub["uri"],
        "genres": known.get("genres"),
        "popularity": whole(known.get("popularity")),
        "followers": whole(known.get("followers", {}).get("total")),
        "image_url": image(full),
        "gone": full is None,
        "seen_in": sorted(seen),
    }


def album_facts(stub: Document, full: Document | None, seen: set[str]) -> Document:
    known = full or {}
    same = ("name", "uri", "album_type", "release_date", "release_date_precision", "total_tracks")
    return {
        **{key: stub[key] for key in same},
        "label": known.get("label"),
        "popularity": known.get("popularity"),
        "upc": known.get("external_ids", {}).get("upc"),
        "image_url": image(stub),
        "artists": [each["id"] for each in stub["artists"]],
        "gone": full is None,
        "seen_in": sorted(seen),
    }


def playlist_facts(row: Document) -> Document:
    same = ("id", "name", "description", "public", "collaborative", "snapshot_id")
    return {
        **{key: row[key] for key in same},
        "owner_id": row["owner"]["id"],
        "owner_name": row["owner"]["display_name"],
        "total_items": row["items"]["total"],
        "image_url": image(row),
    }


def assert_true(server: Server, account: str) -> None:
    truth = server.control.truth(account)
    with Reader(server.url, server.access_token(account)) as reader:
        crawled = Crawl(reader, restricted=server.settings.regime == "restricted").document()
    truth["plays"] = [
        {key: play[key] for key in ("played_at", "track_id")} for play in truth["plays"][-truth["plays_visible"] :]
    ]
    for key, value in crawled.items():
        assert value == truth[key], key


@pytest.mark.parametrize("library", ["tiny", 300])
@pytest.mark.parametrize("regime", ["full", "restricted"])
def test_a_crawl_finds_the_truth(library: str | int, regime: str) -> None:
    with start(library, accounts=2, regime=regime) as server:
        assert_true(server, "user01")
        assert_true(server, "user02")


@pytest.mark.parametrize("seed", range(3))
def test_a_crawl_after_many_edits_finds_the_new_truth(seed: int) -> None:
    with start(120, seed=seed) as server:
        rng = Random(seed)
        for _ in range(150):
            server.world.random_edit(rng, ops=[*HABITS, *PATROL_EDITS])
        assert_true(server, "user01")


def test_a_refusal_for_one_account_does_not_affect_another() -> None:
    with start("tiny", accounts=2) as server:
        first, second = (
            {each["id"]: each["access"] for each in server.world.truth(account)["playlists"]}
            for account in ("user01", "user02")
        )
        assert {(first[id_], second[id_]) for id_ in set(first) & set(second)} == {("ok", "ok"), ("ok", "forbidden")}


def test_totals_equal_those_that_spotify_reports() -> None:
    with start("tiny") as server, Reader(server.url, server.access_token()) as reader:
        totals = server.world.truth()["totals"]
        assert reader.json("/me/tracks")["total"] == totals["saved_tracks"]
        assert reader.json("/me/albums")["total"] == totals["saved_albums"]
        assert reader.json("/me/playlists")["total"] == totals["playlists"]
        assert reader.json("/me/following", type="artist")["artists"]["total"] == totals["followed_artists"]
