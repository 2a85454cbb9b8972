"""Plan requests for the contents of playlists and fold the answers. Pure."""

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from spotisync.core import parse
from spotisync.core.cursors import Contents, PlaylistProgress
from spotisync.core.requests import PAGE, Request
from spotisync.core.rows import CatalogueRows, PlaylistItemRow
from spotisync.core.steps import Access, Answer, ContentsStep

# Pages of a batch of the usual size.
CALLS_PER_BATCH = 8
# Of the largest one: their rows are in memory until the commit.
MOST_CALLS = 32


@dataclass(frozen=True)
class WantedPlaylist:
    """A playlist to read, with the current snapshot id and number of items from its row."""

    playlist_id: str
    snapshot_id: str
    total: int | None


@dataclass(frozen=True)
class ContentsPlan:
    """The requests of a batch, the progress of their playlists by id, and playlists listed as empty."""

    requests: tuple[Request, ...]
    progress: dict[str, PlaylistProgress]
    empty: tuple[PlaylistProgress, ...]


def plan(cursor: Contents, wanted: Sequence[WantedPlaylist], most: int = CALLS_PER_BATCH) -> ContentsPlan:
    """At most `most` pages of whole playlists, in order. A playlist listed as empty costs no call."""
    requests: list[Request] = []
    progress: dict[str, PlaylistProgress] = {}
    empty: list[PlaylistProgress] = []
    for each in wanted:
        if len(requests) >= most:
            break
        at = _progress_of(cursor, each)
        progress[each.playlist_id] = at
        if at.total == 0:
            empty.append(at)
            continue
        end = max(at.position + 1, at.total or 1)
        requests += [
            Request("playlist_items", offset=offset, playlist_id=each.playlist_id)
            for offset in itertools.islice(range(at.position, end, PAGE), most)
        ]
    return ContentsPlan(tuple(requests[:most]), progress, tuple(empty))


def _progress_of(cursor: Contents, wanted: WantedPlaylist) -> PlaylistProgress:
    if cursor.progress and cursor.progress.playlist_id == wanted.playlist_id:
        return cursor.progress
    return PlaylistProgress(wanted.playlist_id, wanted.snapshot_id, total=wanted.total, listed=wanted.total or 0)


def fold(plan: ContentsPlan, answers: Sequence[Answer]) -> ContentsStep:
    read = _ContentsRead(plan.progress)
    for answer in answers:
        try:
            if not read.take(answer):
                break
        except parse.Unreadable:
            if answer is answers[0]:
                raise
            break
    return ContentsStep(
        cursor=Contents(read.current),
        catalogue=read.catalogue,
        items=tuple(read.items),
        finished=(*read.finished, *((progress, "synced") for progress in plan.empty)),
    )


def _fingerprint(page: parse.PlaylistItemsPage) -> str:
    """Hash the rows of a page without their positions; "" if the page repeats one track."""
    rows = [
        [row.track_id, row.uri, row.name, row.added_at.isoformat() if row.added_at else "", row.added_by]
        for row in page.rows
    ]
    if len({(row[0], row[1]) for row in rows}) < 2:
        return ""
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _with_total(current: PlaylistProgress, page: parse.PlaylistItemsPage) -> PlaylistProgress:
    """Forget the snapshot if the page contradicts earlier totals: what is stored must then be read again.

    If the playlist was edited, it has another snapshot by now; if it was not, one of the replies is wrong. Of the first
    page, only an empty one is compared with the number in the list of playlists; `_take_page` compares the end.
    """
    is_known = current.position > 0 or current.empty_at is not None or page.total == 0
    if not is_known or current.total in (None, page.total):
        return current
    return replace(current, snapshot_id="")


@dataclass
class _ContentsRead:
    """The playlist being read while answers are taken in order, and the results of earlier ones."""

    progress: dict[str, PlaylistProgress]
    current: PlaylistProgress | None = None
    refused: str = ""
    items: list[tuple[str, PlaylistItemRow]] = field(default_factory=list)
    finished: list[tuple[PlaylistProgress, Access]] = field(default_factory=list)
    catalogue: CatalogueRows = field(default_factory=CatalogueRows)

    def take(self, answer: Answer) -> bool:
        """Take the next answer. False: it does not follow the rows read so far, so it and the rest are refetched."""
        id_ = answer.request.playlist_id
        if id_ == self.refused:
            return True
        if self.current and self.current.playlist_id != id_:
            return False
        current = self.current or self.progress[id_]
        if answer.refused and answer.refused.status not in {403, 404}:
            raise parse.Unreadable(str(answer.refused))
        if answer.refused:
            self._finish(current, "not_found" if answer.refused.status == 404 else "forbidden")
            self.refused = id_
            return True
        if answer.request.offset != current.position:
            # Beyond the end of a playlist that became shorter, or out of step after a short page.
            return any(done.playlist_id == id_ for done, _ in self.finished)
        self._take_page(current, answer.parsed)
        return True

    def _take_page(self, current: PlaylistProgress, page: parse.PlaylistItemsPage) -> None:
        current = _with_total(current, page)
        if page.length == 0:
            self._take_empty_page(current, page)
            return
        page.check_plausible()
        last_page = _fingerprint(page)
        if last_page and last_page in {current.first_page, current.last_page} and page.total == current.total:
            # Spotify at times ignores the offset (music-assistant/server#3155).
            raise parse.Unreadable(f"Spotify sent the same page of a playlist again at {page.offset} of {page.total}")
        self.catalogue.add(page.catalogue)
        self.items += [(current.playlist_id, row) for row in page.rows]
        position = page.offset + page.length
        first_page = current.first_page if page.offset else last_page
        current = replace(
            current, position=position, total=page.total, empty_at=None, first_page=first_page, last_page=last_page
        )
        if current.position >= page.total:
            # The list of playlists may count more: a total of the contents may be too low.
            self._finish(replace(current, phantoms=max(0, current.listed - current.position)), "synced")
        else:
            self.current = current

    def _take_empty_page(self, current: PlaylistProgress, page: parse.PlaylistItemsPage) -> None:
        """End the playlist if a second reply shows the same: only pages that should have items are requested.

        Spotify may count more items than it lists (spotify/web-api#961), and at times shows a list without its items
        (spotify/web-api#156, #429).
        """
        if current.empty_at == page.offset:
            phantoms = max(0, page.total - page.offset, current.listed - page.offset)
            self._finish(replace(current, total=page.total, phantoms=phantoms), "synced")
        else:
            self.current = replace(current, empty_at=page.offset)

    def _finish(self, progress: PlaylistProgress, access: Access) -> None:
        self.finished.append((progress, access))
        self.current = None
