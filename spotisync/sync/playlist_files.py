"""Export playlists and the saved tracks of an account as M3U8 or JSPF files, from one snapshot."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from spotisync.core import playlist_files
from spotisync.core.playlist_files import PlaylistHeading
from spotisync.core.tables import PlaylistFormat
from spotisync.errors import Fatal, Unknown
from spotisync.store import accounts
from spotisync.store import playlist_files as stored
from spotisync.store.database import Connection, Database
from spotisync.store.export import begin_snapshot
from spotisync.store.playlist_files import StoredPlaylist
from spotisync.sync.output_files import Output, create_directory, open_atomically

# Called after each playlist with the playlists written and the total.
Progress = Callable[[int, int], None]
_LINK: Final = re.compile(
    r"(?:spotify:playlist:|https?://open\.spotify\.com/(?:intl-[a-z]+/)?playlist/)([0-9A-Za-z]+).*"
)
NAMED: Final = 5
SAVED: Final = StoredPlaylist(PlaylistHeading(None, None), None)


@dataclass(frozen=True)
class WrittenPlaylist:
    """`unread`: why the playlist has no file, since its contents are not stored; else None."""

    playlist: PlaylistHeading
    path: Path | None
    entries: int
    unread: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "playlist": self.playlist.id,
            "name": self.playlist.title,
            "file": str(self.path) if self.path else None,
            "rows": self.entries if self.path else None,
            "reason": self.unread,
        }


@dataclass(frozen=True)
class PlaylistExport:
    """An export of one account; without a name, of the only account.

    `names`: only these playlists, by ID, URI, URL or name; None: all.
    """

    database: Database
    account: str | None
    format_: PlaylistFormat
    progress: Progress
    saved_tracks: bool = True
    names: tuple[str, ...] | None = None

    def to_directory(self, directory: Path) -> list[WrittenPlaylist]:
        """Write one file per playlist. A file is replaced once its new one is complete."""
        with self._snapshot() as (connection, account_id):
            chosen = self._choose(connection, account_id)
            create_directory(directory)
            written = []
            for number, each in enumerate(chosen):
                self.progress(number, len(chosen))
                written.append(self._write_file(connection, account_id, each, directory))
            self.progress(len(chosen), len(chosen))
        return written

    def to_stream(self, file: Output) -> None:
        """Write the chosen playlist. Raises `Fatal` if several are chosen or its contents are not stored."""
        with self._snapshot() as (connection, account_id):
            chosen = self._choose(connection, account_id)
            if len(chosen) != 1:
                raise Fatal(f"Stdout takes one playlist, but these match: {_list(chosen)}. Name one by its ID")
            if chosen[0].unread:
                raise Fatal(f"The contents of {chosen[0].heading.title} are not stored ({chosen[0].unread})")
            self._write(connection, account_id, chosen[0].heading, file)

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[Connection, int]]:
        with self.database.begin() as connection:
            begin_snapshot(connection)
            yield connection, accounts.find_account(connection, self.account).id

    def _choose(self, connection: Connection, account_id: int) -> list[StoredPlaylist]:
        playlists = stored.list_playlists(connection, account_id)
        if self.names is not None:
            found = [_find(playlists, name) for name in self.names]
            playlists = [each for each in playlists if any(each in matches for matches in found)]
        return [SAVED, *playlists] if self.saved_tracks else playlists

    def _write_file(
        self, connection: Connection, account_id: int, each: StoredPlaylist, directory: Path
    ) -> WrittenPlaylist:
        if each.unread:
            return WrittenPlaylist(each.heading, None, 0, each.unread)
        path = directory / playlist_files.file_name(each.heading, self.format_)
        with open_atomically(path) as file:
            return WrittenPlaylist(each.heading, path, self._write(connection, account_id, each.heading, file))

    def _write(self, connection: Connection, account_id: int, playlist: PlaylistHeading, file: Output) -> int:
        count = 0

        def entries() -> Iterator[playlist_files.PlaylistEntry]:
            nonlocal count
            for entry in stored.iter_entries(connection, account_id, playlist.id):
                count += 1
                yield entry

        for piece in playlist_files.render(self.format_, playlist, entries()):
            file.write(piece.encode())
        return count


def _find(playlists: list[StoredPlaylist], name: str) -> list[StoredPlaylist]:
    """Find playlists by an ID, URI or URL, or else by a name, ignoring case."""
    link = _LINK.fullmatch(name)
    matches = [each for each in playlists if each.heading.id == (link[1] if link else name)]
    folded = name.strip().casefold()
    matches = matches or [each for each in playlists if (each.heading.name or "").strip().casefold() == folded]
    if not matches:
        raise Unknown(f"Unknown playlist {name!r}. List them: spotisync export - --only playlists")
    return matches


def _list(playlists: list[StoredPlaylist]) -> str:
    named = [f"{each.heading.title} ({each.heading.id or 'saved tracks'})" for each in playlists[:NAMED]]
    return ", ".join([*named, "…"] if len(playlists) > NAMED else named) or "none"
