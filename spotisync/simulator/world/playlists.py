"""The playlists generated from a seed; the first six have Spotify's oddities."""

from random import Random

from spotisync.simulator.world import names
from spotisync.simulator.world.catalogue import Catalogue
from spotisync.simulator.world.ids import SeededRandom
from spotisync.simulator.world.library import Library, Playlist, PlaylistItem
from spotisync.simulator.world.seeding import EPOCH, Region

LONG_NAME = "a name that nobody shortened · " * 64


class PlaylistGenerator:
    """Generates the playlists of one account."""

    def __init__(self, catalogue: Catalogue, library: Library, number: int, region: Region, largest: int) -> None:
        self.catalogue, self.library, self.number, self.region = catalogue, library, number, region
        self.largest = largest
        self.rng = Random(f"{catalogue.seed}:playlists:{number}")

    def generate(self, count: int) -> dict[str, Playlist]:
        """Put `count` playlists into the library's list; return them by id."""
        playlists = [self._generate(n) for n in range(count)]
        if self.catalogue.quirks:
            self._add_quirks(playlists)
        elif len(playlists) > 1:
            playlists[1].rows = self._tracks(self.largest, playlists[1].owner_id)
        listed: list[str | None] = [playlist.id for playlist in self.rng.sample(playlists, len(playlists))]
        if self.catalogue.quirks:
            for place in range(2, len(listed), 60):
                listed.insert(place, None)
        self.library.playlists = listed
        return {playlist.id: playlist for playlist in playlists}

    def _generate(self, n: int) -> Playlist:
        rng = SeededRandom(f"{self.catalogue.seed}:playlist:{self.number}:{n}")
        owner, name = self.library.id, self.library.display_name
        if n % 7 == 5:
            owner, name = f"friend{n:03d}", names.person(rng)
        playlist = Playlist(
            id=self.catalogue.ids.of("playlist", self.number * 1_000_000 + n),
            name=names.playlist(rng),
            description=rng.choice(("", "", f"Songs for {names.title(rng)}")),
            owner_id=owner,
            owner_name=name,
            public=rng.chance(70),
            collaborative=rng.chance(4),
            pictures=rng.choice(("full", "sizeless", "sizeless")),
        )
        playlist.rows = self._tracks(4 + rng.randrange(4 + rng.randrange(110)), owner)
        return playlist

    def _tracks(self, count: int, owner: str) -> list[PlaylistItem]:
        """Choose mostly saved tracks, and some that no account saved; groups of them share a second."""
        rows, time = [], EPOCH - self.rng.randrange(200_000_000) - count * 3_600
        saved = self.library.saved
        for _ in range(count):
            if self.rng.random() < 0.4:
                time += self.rng.randrange(86_400) // 24
            is_saved = self.rng.random() < 0.7
            track = saved[self.rng.randrange(len(saved))][1] if is_saved else self._unsaved_track()
            rows.append(PlaylistItem("track", max(0, track), time, owner))
        return rows

    def _unsaved_track(self) -> int:
        # The catalogue starts with artists that are in no account's region.
        stop = self.region.tracks.start if self.rng.random() < 0.4 else self.region.tracks.stop
        return self.rng.randrange(stop)

    def _add_quirks(self, playlists: list[Playlist]) -> None:
        """Give each of the first six playlists one oddity."""
        oddities = (self._mixed, self._largest, self._empty, self._forbidden, self._not_found, self._foreign)
        for playlist, odd in zip(playlists, oddities, strict=False):
            odd(playlist)

    def _mixed(self, playlist: Playlist) -> None:
        playlist.name, playlist.description = "🎛️ everything at once 🎚️", "<b>bold</b> & other tricks"
        playlist.owner_id, playlist.owner_name = self.library.id, self.library.display_name
        playlist.collaborative = True
        rows = self._tracks(12, self.library.id)
        first = rows[0]
        rows[3:3] = [first, first, first._replace(added_at=rows[3].added_at)]
        rows[2:2] = [PlaylistItem("local", n, rows[2].added_at, self.library.id) for n in range(4)]
        rows[5:5] = [PlaylistItem("episode", n, rows[5].added_at, self.library.id) for n in (0, 1, 7)]
        rows[8:8] = [PlaylistItem("unavailable", 0, rows[8].added_at, ""), PlaylistItem("unavailable", 0, None, None)]
        rows[1] = rows[1]._replace(added_at=None, added_by=None)
        rows[4] = rows[4]._replace(added_at=0)
        playlist.rows = rows

    def _largest(self, playlist: Playlist) -> None:
        playlist.name, playlist.public = LONG_NAME, None
        playlist.rows = self._tracks(self.largest, self.library.id)

    def _empty(self, playlist: Playlist) -> None:
        playlist.name, playlist.description, playlist.pictures, playlist.rows = "", None, "null", []

    def _forbidden(self, playlist: Playlist) -> None:
        playlist.owner_id, playlist.owner_name, playlist.collaborative = "friend900", "A Friend", False
        self.library.refusals[playlist.id] = "forbidden"

    def _not_found(self, playlist: Playlist) -> None:
        playlist.name, playlist.owner_id, playlist.owner_name = "Made for nobody", "spotify", "Spotify"
        playlist.pictures, playlist.collaborative = "none", False
        self.library.refusals[playlist.id] = "not_found"

    def _foreign(self, playlist: Playlist) -> None:
        playlist.description, playlist.pictures = None, "none"


def share_playlists(first: Library, other: Library, playlists: dict[str, Playlist]) -> None:
    """Let another account follow two playlists of the first: one it may read, one whose rows it may not."""
    own = [id_ for id_ in first.playlists if id_ and playlists[id_].owner_id == first.id and playlists[id_].rows]
    other.playlists += own[:2]
    if len(own) > 1:
        other.refusals[own[1]] = "forbidden"
