"""The expected list in memory, with the rows that `store.saved_tracks` would load from the tables."""

from collections.abc import Iterable, Mapping

from spotisync.core.bisection import Expected, ListRow, find_spans


def around_pages(rows: Iterable[ListRow], read: Mapping[int, ListRow], total: int) -> Expected:
    """Count the rows between the spans instead of listing them."""
    spans = find_spans(read, total)
    listed: list[ListRow] = []
    counted: dict[int, list[ListRow]] = {}
    for row in rows:
        if row.track_id is None or any(span.start <= row.minute < span.end for span in spans):
            listed.append(row)
        else:
            counted.setdefault(sum(span.end <= row.minute for span in spans), []).append(row)
    return Expected(listed, [(max(row.minute for row in each), len(each)) for each in counted.values()])
