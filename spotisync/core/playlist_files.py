"""Playlists as M3U8 and JSPF (<https://www.jspf.org>), and names of their files."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from spotisync.core.tables import PlaylistFormat

SAVED_TRACKS: Final = "Saved tracks"
MAX_NAME_BYTES: Final = 150  # file systems allow 255, with the ID, the ending and a temporary suffix
# Windows refuses these as names of files, with any ending.
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(?:\.|$)", re.IGNORECASE)
_URI: Final = re.compile(r"spotify:(track|episode|playlist):([0-9A-Za-z]+)")


@dataclass(frozen=True)
class PlaylistHeading:
    """A playlist; without an ID, the saved tracks."""

    id: str | None
    name: str | None
    description: str | None = None
    owner: str | None = None
    image_url: str | None = None

    @property
    def title(self) -> str:
        return one_line(self.name) or (SAVED_TRACKS if self.id is None else "Untitled playlist")

    @property
    def uri(self) -> str | None:
        return f"spotify:playlist:{self.id}" if self.id else None


@dataclass(frozen=True)
class PlaylistEntry:
    """A track, an episode or a local file. `added_at`: when it was added to the playlist or saved."""

    uri: str
    name: str | None
    artists: tuple[str, ...] = ()
    album: str | None = None
    duration_ms: int | None = None
    track_number: int | None = None
    added_at: datetime | None = None


def one_line(text: str | None) -> str:
    """Without line breaks and control characters, which would begin another line of an M3U8 file."""
    spaced = "".join(" " if unicodedata.category(each) in {"Cc", "Zl", "Zp"} else each for each in text or "")
    return " ".join(spaced.split())


def file_name(playlist: PlaylistHeading, format_: PlaylistFormat) -> str:
    """Name of the file, such as `Road trip (37i9dQZF1DX0XUsuxWHRQd).m3u8`.

    The ID keeps the names of two playlists apart, also where the file system ignores case. A name never depends on
    other playlists, so that a later export replaces the same file.
    """
    if playlist.id is None:
        return f"{SAVED_TRACKS}.{format_}"
    id_ = re.sub(r"[^0-9A-Za-z_-]", "_", playlist.id)[:64]
    return f"{_safe(playlist.name or '')} ({id_}).{format_}"


def _safe(name: str) -> str:
    """Without characters that a file system refuses or that hide the rest of the name (controls, bidi, zero width)."""
    spaced = one_line(unicodedata.normalize("NFC", name))
    visible = "".join(each for each in spaced if unicodedata.category(each) not in {"Cf", "Cs", "Co", "Cn"})
    allowed = re.sub(r'[<>:"/\\|?*]', "_", visible)
    short = allowed.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    # A dot would hide the file, - looks like an option, and Windows drops dots and spaces at the end.
    safe = short.lstrip(".-~ ").rstrip(". ") or "playlist"
    return f"_{safe}" if _RESERVED.match(safe) else safe


def render(format_: PlaylistFormat, playlist: PlaylistHeading, entries: Iterable[PlaylistEntry]) -> Iterator[str]:
    """The file in pieces: the heading, one per entry, the end."""
    return _render_m3u8(playlist, entries) if format_ == "m3u8" else _render_jspf(playlist, entries)


def _render_m3u8(playlist: PlaylistHeading, entries: Iterable[PlaylistEntry]) -> Iterator[str]:
    yield f"#EXTM3U\n#PLAYLIST:{playlist.title}\n"
    for entry in entries:
        # -1: of unknown length
        seconds = -1 if entry.duration_ms is None else round(entry.duration_ms / 1000)
        artists = ", ".join(filter(None, map(one_line, entry.artists)))
        names = " - ".join(filter(None, (artists, one_line(entry.name)))) or entry.uri
        yield f"#EXTINF:{seconds},{names}\n{one_line(entry.uri)}\n"


def _render_jspf(playlist: PlaylistHeading, entries: Iterable[PlaylistEntry]) -> Iterator[str]:
    heading = _known(
        title=playlist.title,
        creator=playlist.owner,
        annotation=playlist.description or None,
        info=_web_address(playlist.uri),
        identifier=playlist.uri,
        image=playlist.image_url,
    )
    yield f'{{"playlist": {_dumps(heading)[:-1]}, "track": ['
    separator = "\n"
    for entry in entries:
        yield f"{separator}{_dumps(_jspf_track(entry))}"
        separator = ",\n"
    yield "\n]}}\n"


def _jspf_track(entry: PlaylistEntry) -> dict[str, Any]:
    added_at = entry.added_at.astimezone(UTC).isoformat() if entry.added_at else None
    return _known(
        location=[entry.uri],
        identifier=[entry.uri],
        title=entry.name,
        creator=", ".join(filter(None, entry.artists)) or None,
        album=entry.album,
        trackNum=entry.track_number,
        duration=entry.duration_ms,
        info=_web_address(entry.uri),
        # XSPF has no field for it; a meta key is a URI.
        meta=[{"https://developer.spotify.com/#added_at": added_at}] if added_at else None,
    )


def _web_address(uri: str | None) -> str | None:
    found = _URI.fullmatch(uri or "")
    return f"https://open.spotify.com/{found[1]}/{found[2]}" if found else None


def _known(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
