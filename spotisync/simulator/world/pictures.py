"""URLs of pictures, in the forms in which Spotify lists them. The simulator has their paths; see `covers`."""

from typing import Any

_HOST = "https://i.scdn.co/image"
_PREFIX = {"artist": "ab676161", "album": "ab67616d", "playlist": "ab67706c", "show": "ab676563"}
_SIZE = {640: "0000b273", 300: "00001e02", 64: "00004851"}


def image_url(kind: str, id_: str, size: int = 640) -> str:
    return f"{_HOST}/{_PREFIX[kind]}{_SIZE[size]}{id_}"


def images(kind: str, id_: str, style: str) -> list[dict[str, Any]] | None:
    """List pictures in a style: "full", "sizeless", "none" or "null"."""
    match style:
        case "null":
            return None
        case "none":
            return []
        case "sizeless":
            return [{"url": image_url(kind, id_), "height": None, "width": None}]
    return [{"url": image_url(kind, id_, size), "height": size, "width": size} for size in (640, 300, 64)]


def largest(kind: str, id_: str, style: str) -> str | None:
    return image_url(kind, id_) if style in ("full", "sizeless") else None
