"""The playlists that a seed gives, with one of every oddity first."""

from random import Random

from spotisync.simulator.world import names
from spotisync.simulator.world.catalogue import Catalogue
from spotisync.simulator.world.ids import Dice
from spotisync.simulator.world.library import Library, Playlist, Row
from spotisync.simulator.world.seeding import EPOCH, Region

HUGE_NAME = "a name that nobody shortened · " * 64


class Shelf:
    """Makes the playlists of one account."""

    def __init__(self, catalogue: Catalogue, library: Library, number: int, region: Region, largest: int) -> None:
        self.catalogue, self.library, self.number, self.region = catalogue, library, number, region
        self.largest = largest
        self.rng = Random(f"{catalogue.seed}:playlists:{number}")

    def fill(self, count: int) -> dict[str, Playlist]:
        """Put `count` playlists into the library's list and give them by id."""
        made = [self._plain(n) for n in range(count)]
        if self.catalogue.quirks:
            self._add_quirks(made)
        elif len(made) > 1:
            made[1].rows = self._tracks(self.largest, made[1].owner_id)
        listed: list[str | None] = [playlist.id for playlist in self.rng.sample(made, len(made))]
        if self.catalogue.quirks:
            for place in range(2, len(listed), 60):
                listed.insert(place, None)
        self.library.playlists = listed
        return {playlist.id: playlist for playlist in made}

    def _plain(self, n: int) -> Playlist:
        dice = Dice(f"{self.catalogue.seed}:playlist:{self.number}:{n}")
        others = n % 7 == 5
        owner, name = (f"friend{n:03d}", names.person(dice)) if others else (self.library.id, self.library.display_name)
        playlist = Playlist(
            id=self.catalogue.ids.of("playlist", self.number * 1_000_000 + n),
            name=names.playlist(dice),
            description=dice.pick(("", "", f"Songs for {names.title(dice)}")),
            owner_id=owner,
            owner_name=name,
            public=dice.chance(70),
            collaborative=dice.chance(4),
            pictures=dice.pick(("full", "sizeless", "sizeless")),
        )
        playlist.rows = self._tracks(4 + dice.roll(4 + dice.roll(110)), owner)
        return playlist

    def _tracks(self, count: int, owner: str) -> list[Row]:
        """Mostly what this account saved, partly what nobody did; added in bulks that share a second."""
        rows, time = [], EPOCH - self.rng.randrange(200_000_000) - count * 3_600
        saved = self.library.saved
        for _ in range(count):
            if self.rng.random() < 0.4:
                time += self.rng.randrange(86_400) // 24
            home = self.rng.random() < 0.7
            track = saved[self.rng.randrange(len(saved))][1] if home else self._elsewhere()
            rows.append(Row("track", max(0, track), time, owner))
        return rows

    def _elsewhere(self) -> int:
        # The catalogue starts with artists that are in nobody's taste.
        strangers = self.region.tracks.start if self.rng.random() < 0.4 else self.region.tracks.stop
        return self.rng.randrange(strangers)

    def _add_quirks(self, made: list[Playlist]) -> None:
        """Turn the first six (or as many as there are) into the odd ones."""
        oddities = (self._mixed, self._largest, self._empty, self._forbidden, self._not_found, self._foreign)
        for playlist, odd in zip(made, oddities, strict=False):
            odd(playlist)

    def _mixed(self, playlist: Playlist) -> None:
        playlist.name, playlist.description = "🎛️ everything at once 🎚️", "<b>bold</b> & other tricks"
        playlist.owner_id, playlist.owner_name, playlist.collaborative = (
            self.library.id,
            self.library.display_name,
            True,
        )
        rows = self._tracks(12, self.library.id)
        first = rows[0]
        rows[3:3] = [first, first, first._replace(added_at=rows[3].added_at)]
        rows[2:2] = [Row("local", n, rows[2].added_at, self.library.id) for n in range(4)]
        rows[5:5] = [Row("episode", n, rows[5].added_at, self.library.id) for n in (0, 1, 7)]
        rows[8:8] = [Row("unavailable", 0, rows[8].added_at, ""), Row("unavailable", 0, None, None)]
        rows[1] = rows[1]._replace(added_at=None, added_by=None)
        rows[4] = rows[4]._replace(added_at=0)
        playlist.rows = rows

    def _largest(self, playlist: Playlist) -> None:
        playlist.name, playlist.public = HUGE_NAME, None
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


def share(first: Library, other: Library, playlists: dict[str, Playlist]) -> None:
    """Let another account follow two playlists of the first: one it may read, one whose rows it may not."""
    own = [id_ for id_ in first.playlists if id_ and playlists[id_].owner_id == first.id and playlists[id_].rows]
    other.playlists += own[:2]
    if len(own) > 1:
        other.refusals[own[1]] = "forbidden"
