"""Libraries generated from a seed and a size: the same seed and size give the same library, byte for byte."""

from collections.abc import Iterator
from itertools import accumulate
from random import Random

from spotisync.simulator.world.catalogue import FIRST_AUDIOBOOK, Catalogue
from spotisync.simulator.world.library import NO_TRACK, Identity, Library, PlayedTrack, SavedTracks

EPOCH = 1_751_284_800  # 2025-06-30T12:00:00Z: everything generated is older
HISTORY_SECONDS = 8 * 365 * 86_400


class Region:
    """The range of the catalogue that one account saves from; neighbouring accounts overlap by half."""

    def __init__(self, catalogue: Catalogue, first: int, size: int) -> None:
        self.artists = range(first, min(first + size, catalogue.main_artists))
        self.albums = range(catalogue.albums_of(2 * first).start, catalogue.albums_of(2 * self.artists[-1]).stop)
        self.tracks = range(catalogue.tracks_of(self.albums[0]).start, catalogue.tracks_of(self.albums[-1]).stop)


def count_main_artists(tracks: int) -> int:
    """Count the main artists in a library of this many saved tracks."""
    return max(6, tracks * 2 // 9)


def count_unsaved_artists(tracks: int) -> int:
    """Count the main artists that appear in playlists only."""
    return max(2, tracks // 60)


def count_others(tracks: int) -> int:
    """Count the saved tracks of each account but the first, unless they are given: half as many."""
    return max(10, tracks // 2)


def regions(tracks: int, others: int, accounts: int) -> list[tuple[int, int]]:
    """Return the first main artist and the number of main artists of each account.

    The first account's region does not depend on the number of accounts.
    """
    width = count_main_artists(others)
    home = count_unsaved_artists(tracks)
    start = home + count_main_artists(tracks) - width // 2
    return [(home, count_main_artists(tracks))] + [(start + n * (width // 2), width) for n in range(accounts - 1)]


def identity(catalogue: Catalogue, number: int) -> Identity:
    return Identity(f"user{number + 1:02d}", catalogue.ids.of("account", number), f"User {number + 1:02d}")


def library(catalogue: Catalogue, number: int, region: Region, tracks: int) -> Library:
    """Build one account without playlists."""
    rng = Random(f"{catalogue.seed}:library:{number}")
    rows = list(_saved(catalogue, region, tracks, rng))
    if catalogue.quirks:
        rows += _odd_rows(rows, rng)
    return Library(
        *identity(catalogue, number),
        saved=SavedTracks(rows, by_minute=catalogue.quirks),
        albums=_albums(catalogue, region, tracks, rng),
        followed=_followed(catalogue, region, rng),
        playlists=[],
        plays=_plays(catalogue, rows, 12 if tracks < 100 else 60, rng),
        shows=_shows(catalogue, number),
        episodes=_episodes(catalogue, number),
        books=_books(catalogue, number),
    )


def _saved(catalogue: Catalogue, region: Region, tracks: int, rng: Random) -> Iterator[tuple[int, int]]:
    """Yield (added_at, track) of the given number of tracks: some albums at once, other tracks singly."""
    likes = _likes(catalogue, region, tracks, rng)
    steps = accumulate(rng.random() ** 3 for _ in likes)
    times = list(steps)
    for event, time in zip(likes, times, strict=True):
        added = EPOCH - int(time / times[-1] * HISTORY_SECONDS)
        for place, track in enumerate(event):
            yield added - place // 8, track


def _likes(catalogue: Catalogue, region: Region, tracks: int, rng: Random) -> list[list[int]]:
    """Group the given number of tracks by the moment of the like."""
    groups, later = [[track] for track in _odd_tracks(catalogue, region)], []
    taken = {group[0] for group in groups}
    for album in rng.sample(region.albums, len(region.albums)):
        fresh = [track for track in catalogue.tracks_of(album) if track not in taken]
        if rng.random() < 0.25:
            groups.append(fresh)
        else:
            picked = rng.sample(fresh, len(fresh) * 2 // 5 + 1) if len(fresh) > 1 else fresh
            groups += [[track] for track in picked]
            later += [[track] for track in fresh if track not in picked]
    kept = _truncate(groups + later, tracks)
    rng.shuffle(kept)
    return kept


def _truncate(groups: list[list[int]], wanted: int) -> list[list[int]]:
    kept = []
    for group in groups:
        part = group[:wanted]
        wanted -= len(part)
        if part:
            kept.append(part)
    return kept


def _odd_tracks(catalogue: Catalogue, region: Region) -> list[int]:
    """Choose one track of every oddity, so that the smallest library has them too."""
    if not catalogue.quirks:
        return []
    gone_artist = next((n for n in region.artists if catalogue.is_gone("artist", 2 * n)), region.artists[0])
    albums = [catalogue.albums_of(2 * gone_artist)[0]]
    albums += [album for album in region.albums if catalogue.is_gone("album", album)][:1]
    albums += [album for album in region.albums if catalogue.album(album).release_date == "0000"][:1]
    return list(dict.fromkeys(catalogue.tracks_of(album)[0] for album in albums))


def _odd_rows(rows: list[tuple[int, int]], rng: Random) -> list[tuple[int, int]]:
    """Return two rows without a track, and a second row of a saved track (twins that became one)."""
    places = rng.sample(range(len(rows)), 3)
    (first, _), (second, _), (_, twin) = (rows[place] for place in places)
    return [(first, NO_TRACK), (second, NO_TRACK - 1), (EPOCH - HISTORY_SECONDS - 86_400, twin)]


def _albums(catalogue: Catalogue, region: Region, tracks: int, rng: Random) -> list[tuple[int, int | None]]:
    """Choose saved albums, not sorted by date, with a null row as Spotify has them."""
    wanted = min(max(4, tracks // 30), len(region.albums), 2_000)
    known = [album for album in rng.sample(region.albums, wanted) if not catalogue.is_gone("album", album)]
    rows: list[tuple[int, int | None]] = [(EPOCH - rng.randrange(HISTORY_SECONDS), album) for album in known]
    if catalogue.quirks:
        rows.insert(2, (EPOCH, None))
    return rows


def _shows(catalogue: Catalogue, account: int) -> list[tuple[int, int | None]]:
    """Return three podcasts and two audiobooks, with a null row (spotify-to-plex#6)."""
    shows: list[int | None] = [3 * account + n for n in range(3)]
    if catalogue.quirks:
        first, second = _audiobooks(account)
        shows[1:1] = [first, None, second]
    return [(EPOCH - place * 86_400, show) for place, show in enumerate(shows)]


def _episodes(catalogue: Catalogue, account: int) -> list[tuple[int, int | None]]:
    """Return episodes of saved shows and of others, with a null row."""
    episodes: list[int | None] = [15 * account + n for n in (0, 3, 7, 40)]
    if catalogue.quirks:
        episodes.insert(2, None)
    return [(EPOCH - place * 3_600, episode) for place, episode in enumerate(episodes)]


def _books(catalogue: Catalogue, account: int) -> list[int | None]:
    """Return the saved audiobooks, with a null row as in the other lists."""
    return [*_audiobooks(account), None] if catalogue.quirks else []


def _audiobooks(account: int) -> tuple[int, int]:
    return FIRST_AUDIOBOOK + account, FIRST_AUDIOBOOK + account + 1


def _followed(catalogue: Catalogue, region: Region, rng: Random) -> list[tuple[str, int]]:
    artists = rng.sample(region.artists, min(max(3, len(region.artists) // 4), 2_000))
    known = [2 * artist for artist in artists if not catalogue.is_gone("artist", 2 * artist)]
    return sorted((catalogue.ids.of("artist", artist), artist) for artist in known)


def _plays(catalogue: Catalogue, rows: list[tuple[int, int]], count: int, rng: Random) -> list[PlayedTrack]:
    plays, time = [], EPOCH * 1000
    for _ in range(count):
        track = max(0, rng.choice(rows)[1])
        time -= 30_000 + rng.randrange(400_000)
        plays.append(PlayedTrack(time, track, catalogue.album_of(track) if rng.random() < 0.7 else None))
    return plays[::-1]
