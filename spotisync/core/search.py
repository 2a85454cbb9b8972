"""Library searches: query parameters parsed leniently, and the cursor of a results page."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, Self, TypeAlias, get_args

Kind: TypeAlias = Literal["tracks", "albums", "artists", "playlists"]
Sort: TypeAlias = Literal["added", "name"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
# Filters by kind. Only saved tracks and albums have a date to sort by.
FILTERS: Final[dict[Kind, tuple[str, ...]]] = {
    "tracks": ("artist", "genre", "label", "decade", "playlist"),
    "albums": ("artist", "genre", "label", "decade"),
    "artists": ("genre",),
    "playlists": (),
}
DATED: Final[frozenset[Kind]] = frozenset({"tracks", "albums"})
MAX_LENGTH = 200
# Filters whose values are Spotify's texts. They can be long, begin or end with a space, and are compared whole.
VERBATIM: Final[frozenset[str]] = frozenset({"genre", "label"})
MAX_VERBATIM = 2_000
MAX_WORDS = 8
MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class PageCursor:
    """The sort key of a page's last row: date or name (None: unknown), then account and id to break ties."""

    at: datetime | str | None
    account_id: int
    id: str

    def __str__(self) -> str:
        at = self.at.isoformat() if isinstance(self.at, datetime) else self.at
        plain = json.dumps([at, self.account_id, self.id], ensure_ascii=False)
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def parse_cursor(text: str, sort: Sort) -> PageCursor | None:
    """Parse a cursor; None if it is invalid or belongs to another sort order."""
    try:
        at, account_id, id_ = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        at = datetime.fromisoformat(at) if sort == "added" else at
    except (ValueError, TypeError, RecursionError):
        return None
    valid = isinstance(account_id, int) and 0 <= account_id <= MAX_ID and _is_text(id_)
    valid_at = at.tzinfo is not None if isinstance(at, datetime) else at is None or _is_text(at)
    return PageCursor(at, int(account_id), id_) if valid and valid_at else None


def _is_text(value: Any) -> bool:
    """Whether the value is a string that Postgres accepts."""
    return isinstance(value, str) and value == _clean(value)


def _clean(text: str) -> str:
    """Remove NUL and lone surrogates."""
    return text.replace("\0", "").encode(errors="ignore").decode()


@dataclass(frozen=True)
class Query:
    kind: Kind = "tracks"
    text: str = ""
    account: str | None = None
    artist: str | None = None
    genre: str | None = None
    label: str | None = None
    decade: int | None = None
    playlist: str | None = None
    removed: bool = False
    sort: Sort = "added"
    after: PageCursor | None = None

    @classmethod
    def from_parameters(cls, given: Mapping[str, str]) -> Self:
        """Parse query parameters; invalid values are ignored."""

        def cleaned(name: str) -> str | None:
            value = _clean(given.get(name, ""))
            return (value[:MAX_VERBATIM] if name in VERBATIM else value[:MAX_LENGTH].strip()) or None

        kind: Kind = next((each for each in KINDS if each == given.get("kind")), "tracks")
        sort: Sort = "name" if kind not in DATED or given.get("sort") == "name" else "added"
        filters: dict[str, Any] = {name: cleaned(name) for name in FILTERS[kind]}
        if "decade" in filters:
            filters["decade"] = _decade(filters["decade"])
        return cls(
            kind=kind,
            text=cleaned("q") or "",
            account=cleaned("account"),
            removed=given.get("removed") in {"1", "on", "true"},
            sort=sort,
            after=parse_cursor(given.get("after", ""), sort),
            **filters,
        )

    def parameters(self, **changes: Any) -> dict[str, str]:
        """The shortest query parameters for this query with `changes`, from the first page."""
        changed = replace(self, after=None, **changes)
        named = {"q": changed.text, "account": changed.account} | {
            name: getattr(changed, name) for name in FILTERS[changed.kind]
        }
        named |= {
            "kind": changed.kind if changed.kind != "tracks" else None,
            "removed": 1 if changed.removed else None,
            "sort": "name" if changed.sort == "name" and changed.kind in DATED else None,
        }
        return {name: str(value) for name, value in named.items() if value not in (None, "")}

    @property
    def active_filters(self) -> dict[str, Any]:
        """The filters that are set."""
        return {name: value for name in FILTERS[self.kind] if (value := getattr(self, name)) is not None}


def _decade(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.removesuffix("s").isdigit():
        return None
    year = int(text.removesuffix("s")[:5])
    return year // 10 * 10 if 1000 <= year < 9990 else None
