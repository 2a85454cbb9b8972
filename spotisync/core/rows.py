"""Rows parsed from Spotify's replies. None means unknown and never overwrites a stored value (law 6)."""

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal, TypeVar


@dataclass(frozen=True)
class ArtistRow:
    id: str
    name: str | None
    uri: str
    genres: tuple[str, ...] | None = None
    popularity: int | None = None
    followers: int | None = None
    image_url: str | None = None


@dataclass(frozen=True)
class AlbumRow:
    id: str
    name: str | None
    uri: str
    album_type: str | None = None
    release_date: str | None = None
    release_date_precision: str | None = None
    released_on: date | None = None
    total_tracks: int | None = None
    label: str | None = None
    popularity: int | None = None
    upc: str | None = None
    image_url: str | None = None
    artist_ids: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TrackRow:
    """`restriction`: why it is not playable. `linked_from`: the id that Spotify has replaced by this one."""

    id: str
    name: str | None
    uri: str
    album_id: str | None = None
    duration_ms: int | None = None
    explicit: bool | None = None
    disc_number: int | None = None
    track_number: int | None = None
    isrc: str | None = None
    popularity: int | None = None
    is_playable: bool | None = None
    linked_from: str | None = None
    restriction: str | None = None
    artist_ids: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ShowRow:
    """A podcast, or an audiobook in the form of a podcast. `is_audiobook`: None if the row does not tell."""

    id: str
    name: str | None
    uri: str
    publisher: str | None = None
    total_episodes: int | None = None
    explicit: bool | None = None
    languages: tuple[str, ...] | None = None
    media_type: str | None = None
    image_url: str | None = None
    is_audiobook: bool | None = None


@dataclass(frozen=True)
class EpisodeRow:
    id: str
    name: str | None
    uri: str
    show_id: str | None = None
    duration_ms: int | None = None
    explicit: bool | None = None
    language: str | None = None
    release_date: str | None = None
    release_date_precision: str | None = None
    released_on: date | None = None
    image_url: str | None = None


@dataclass(frozen=True)
class AudiobookRow:
    """`authors`, `narrators`: their names; they have no ids."""

    id: str
    name: str | None
    uri: str
    authors: tuple[str, ...] | None = None
    narrators: tuple[str, ...] | None = None
    publisher: str | None = None
    edition: str | None = None
    total_chapters: int | None = None
    explicit: bool | None = None
    languages: tuple[str, ...] | None = None
    image_url: str | None = None


@dataclass(frozen=True)
class SavedTrackRow:
    track_id: str
    added_at: datetime


@dataclass(frozen=True)
class ListingRow:
    """A row of a list: a followed artist, a saved album or show (which has a date), a playlist (which has a position).

    `snapshot_known`: the row of a playlist said which snapshot it has.
    """

    id: str
    added_at: datetime | None = None
    position: int | None = None
    snapshot_known: bool = False


@dataclass(frozen=True)
class NullRow:
    """A row of the saved tracks that Spotify lists without its track.

    `from_end`: its position counted from the end of the list, which does not change when rows are added at the head.
    """

    added_at: datetime
    from_end: int


@dataclass(frozen=True)
class PlaylistRow:
    id: str
    name: str | None
    description: str | None
    owner_id: str | None
    owner_name: str | None
    public: bool | None
    collaborative: bool | None
    snapshot_id: str | None
    total_items: int | None
    image_url: str | None


ItemKind = Literal["track", "episode", "local", "unavailable"]


@dataclass(frozen=True)
class PlaylistItemRow:
    position: int
    kind: ItemKind
    track_id: str | None = None
    uri: str | None = None
    name: str | None = None
    added_at: datetime | None = None
    added_by: str | None = None


Row = TypeVar("Row", ArtistRow, AlbumRow, TrackRow, ShowRow, EpisodeRow, AudiobookRow)


def _merge(newer: Row, older: Row | None) -> Row:
    """The newer row, with its unknown fields filled from the older one."""
    if older is None or newer == older:
        return newer
    return replace(older, **{name: value for name, value in vars(newer).items() if value is not None})


@dataclass
class CatalogueRows:
    """Artists, albums, tracks and what is spoken, from replies; one merged row per id.

    `embedded_artists`: objects that albums and tracks contained, as Spotify sent them, and the rows parsed from them.
    """

    artists: dict[str, ArtistRow] = field(default_factory=dict)
    albums: dict[str, AlbumRow] = field(default_factory=dict)
    tracks: dict[str, TrackRow] = field(default_factory=dict)
    shows: dict[str, ShowRow] = field(default_factory=dict)
    episodes: dict[str, EpisodeRow] = field(default_factory=dict)
    audiobooks: dict[str, AudiobookRow] = field(default_factory=dict)
    embedded_artists: dict[str, tuple[dict[str, Any], ArtistRow]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def add_artist(self, artist: ArtistRow) -> None:
        self.artists[artist.id] = _merge(artist, self.artists.get(artist.id))

    def add_album(self, album: AlbumRow) -> None:
        self.albums[album.id] = _merge(album, self.albums.get(album.id))

    def add_track(self, track: TrackRow) -> None:
        self.tracks[track.id] = _merge(track, self.tracks.get(track.id))

    def add_show(self, show: ShowRow) -> None:
        self.shows[show.id] = _merge(show, self.shows.get(show.id))

    def add_episode(self, episode: EpisodeRow) -> None:
        self.episodes[episode.id] = _merge(episode, self.episodes.get(episode.id))

    def add_audiobook(self, audiobook: AudiobookRow) -> None:
        self.audiobooks[audiobook.id] = _merge(audiobook, self.audiobooks.get(audiobook.id))

    def add(self, other: "CatalogueRows") -> None:
        for artist in other.artists.values():
            self.add_artist(artist)
        for album in other.albums.values():
            self.add_album(album)
        for track in other.tracks.values():
            self.add_track(track)
        for show in other.shows.values():
            self.add_show(show)
        for episode in other.episodes.values():
            self.add_episode(episode)
        for audiobook in other.audiobooks.values():
            self.add_audiobook(audiobook)
