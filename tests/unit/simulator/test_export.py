"""The privacy export contains every play, and the other rows that Spotify adds."""

import io
import json
import zipfile
from typing import Any

import pytest

from spotisync.simulator import World


def files(world: World, **options: Any) -> dict[str, list[dict[str, Any]]]:
    with zipfile.ZipFile(io.BytesIO(world.export(**options))) as archive:
        return {
            name.rpartition("/")[2]: json.loads(archive.read(name))
            for name in archive.namelist()
            if name.endswith(".json") and "Video" not in name
        }


def test_every_play_is_a_row_of_the_streaming_history() -> None:
    world = World("tiny")
    world.edit("play", ms_played=2_000)
    exported = [row for rows in files(world).values() for row in rows]
    plays = world.truth()["plays"]
    of_tracks = [row for row in exported if row["spotify_track_uri"] and row["ts"] > "1970-01-02"]
    assert sorted((row["spotify_track_uri"][14:], row["ms_played"]) for row in of_tracks) == sorted(
        (play["track_id"], play["ms_played"]) for play in plays
    )
    online = {row["ts"] for row in of_tracks if not row["offline"]}
    assert online <= {f"{play['played_at'][:19]}Z" for play in plays}
    assert any(row["offline"] and row["offline_timestamp"] for row in of_tracks)
    assert any(row["spotify_episode_uri"] for row in exported)


@pytest.mark.parametrize(("shuffled", "names"), [(False, "Streaming_History_Audio_"), (True, "endsong_")])
def test_files_are_numbered_and_optionally_unordered(shuffled: bool, names: str) -> None:
    found = files(World("tiny"), rows_per_file=5, shuffled=shuffled)
    assert [name.startswith(names) and name.endswith(f"_{n}.json") for n, name in enumerate(found)] == [True] * 4
    times = [row["ts"] for rows in found.values() for row in rows]
    assert (times == sorted(times)) != shuffled
