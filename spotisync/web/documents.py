"""The status document on its way out: as JSON, and whether it says anything new."""

import hashlib
import json
from typing import Any, Final

from spotisync.status import Document

# What is another at each look, though nothing has happened.
CLOCKS: Final = {"as_of", "seconds"}


def unwrap_single(documents: list[Document]) -> Document | list[Document]:
    """One document where there is one: a list only when there are several accounts."""
    return documents[0] if len(documents) == 1 else documents


def as_json(documents: list[Document]) -> str:
    return json.dumps(unwrap_single(documents), ensure_ascii=False, separators=(",", ":"), default=str)


def version_key(documents: list[Document]) -> str:
    """The same, as long as they say the same."""
    lasting = json.dumps(_without_clocks(documents), sort_keys=True, default=str)
    return hashlib.sha256(lasting.encode()).hexdigest()[:32]


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_clocks(each) for key, each in value.items() if key not in CLOCKS}
    return [_without_clocks(each) for each in value] if isinstance(value, list) else value
