"""The feed of changes, and the picture of a run, without JavaScript."""

import re
from collections.abc import Callable
from html import unescape

import pytest

from spotisync.web.pages.changes import RUNS_PER_PAGE
from tests.support.store import Store
from tests.web.conftest import TestClient

PAGE = {"Accept": "text/html"}


@pytest.fixture
def runs(store: Store) -> list[int]:
    """Runs of two accounts in turn, each of which saved a track; some changed nothing, and the last is not over."""
    other = store.account("other")
    store.sql(
        """INSERT INTO tracks (id, name, uri) SELECT 't' || n, '<b>Track ' || n, 'spotify:track:t' || n
        FROM generate_series(0, 49) n"""
    )
    ids = []
    for n in range(50):
        account = other if n % 2 else store.account_id
        run = store.run(account_id=account, status="success", completed_at="now()")
        if n % 10 < 9:
            store.sql("UPDATE sync_history SET changes = '{\"added\": 1}' WHERE id = :id", id=run.id)
            store.sql(
                """INSERT INTO saved_spans (account_id, track_id, added_at, from_run, from_at)
                VALUES (:account, :track, now(), :run, now())""",
                account=account, track=f"t{n}", run=run.id,
            )  # fmt: skip
            ids.append(run.id)
    store.sql("UPDATE sync_history SET changes = '{\"added\": 1}' WHERE id = :id", id=store.run().id)
    return ids


def read_feed(client: TestClient, path: str) -> list[tuple[int, str]]:
    """The runs and names of all pages of the feed."""
    found: list[tuple[int, str]] = []
    while path:
        html = unescape(client.get(path, headers=PAGE).text)
        assert " style=" not in html
        sets = re.findall(r'id="changes-(\d+)".*?<li class="change">.*?<a href="([^"]*)"', html, re.DOTALL)
        assert 0 < len(sets) <= RUNS_PER_PAGE
        found += [(int(run), href) for run, href in sets]
        path = next(iter(re.findall(r'rel="next" href="([^"]+)"', html)), "")
    return found


def test_all_pages_have_each_run_with_changes_once(client: TestClient, runs: list[int]) -> None:
    assert [run for run, _ in read_feed(client, "/changes")] == runs[::-1]
    mine = read_feed(client, "/changes?account=me")
    assert {run for run, _ in mine} == {run for run in runs if (run - runs[0]) % 2 == 0}
    assert {href.partition("?")[2] for _, href in mine} == {"account=me"}
    assert read_feed(client, "/changes?account=nobody") == read_feed(client, "/changes"), "as on the front page"


def test_a_run_shows_its_changes_however_old_it_is(client: TestClient, runs: list[int]) -> None:
    for run in (runs[0], runs[-1]):
        html = client.get(f"/runs/{run}", headers=PAGE).text
        assert re.findall(r'id="changes-(\d+)"', html) == [str(run)]
    unchanged = next(each for each in range(runs[0], runs[-1]) if each not in runs)
    assert 'id="changes-' not in client.get(f"/runs/{unchanged}", headers=PAGE).text


def test_the_feed_names_account_run_and_change(client: TestClient, runs: list[int]) -> None:
    html = client.get("/changes", headers=PAGE).text
    assert "&lt;b&gt;Track 48" in html
    assert "<b>Track" not in html
    assert f'href="/runs/{runs[-1]}"' in html
    assert "1 track added" in html
    assert '<bdi dir="auto">other</bdi>, ' in html
    assert '<bdi dir="auto">me</bdi>, ' not in client.get("/changes?account=me", headers=PAGE).text
    assert 'href="/changes?account=me"' in client.get(f"/runs/{runs[-1]}", headers=PAGE).text
    assert 'href="/changes"' in client.get("/", headers=PAGE).text
    assert "No earlier changes." in client.get("/changes?before=1", headers=PAGE).text


def test_an_empty_feed_and_an_unknown_page(client: TestClient, store: Store) -> None:
    assert "No run has changed the library yet." in client.get("/changes", headers=PAGE).text
    store.sql("DELETE FROM accounts")
    assert "No run has changed the library yet." in client.get("/changes", headers=PAGE).text
    assert client.get("/changes?before=0", headers=PAGE).status_code == 422


def test_a_run_has_a_picture_with_its_list_behind_it(make_client: Callable[..., TestClient], store: Store) -> None:
    run = store.run(status="failed", completed_at="now()")
    client = make_client(root_path="/music")
    assert "run-chart" not in client.get(f"/music/runs/{run.id}", headers=PAGE).text
    store.sql(
        """INSERT INTO run_events (sync_id, at, kind, phase, seq, attempt, family, seconds, items, calls, message)
        SELECT :id, now() + n * interval '1 second', kind, phase, 0, 1, 'library', seconds, 10, 1, message
        FROM (VALUES (5, 'batch', 'tracks', 5, NULL), (5, 'parked', 'tracks', 60, 'quota'),
            (65, 'woken', NULL, NULL, NULL), (70, 'batch', 'albums', 5, NULL), (71, 'lost', 'albums', NULL, NULL)
        ) e(n, kind, phase, seconds, message)""",
        id=run.id,
    )
    html = client.get(f"/music/runs/{run.id}", headers=PAGE).text
    assert 'aria-label="tracks: 1 batch (5 s), 1 pause (1 min)"' in html
    assert 'aria-label="albums: 1 batch (5 s), 1 lost worker (1 s)"' in html
    assert html.count('fill="url(#fill-parked)"') == 2, "the bar and the legend"
    assert " style=" not in html
    picture, _, list_ = html.partition("</figure>")
    assert re.findall(r"<title>([^<]*)</title>", picture)[1:] == [
        "Batch 1 of tracks: 10 tracks in 5.0 s, 1 call.",
        "Paused for 1 min: Spotify quota for library reads.",
        "Batch 1 of albums: 10 albums in 5.0 s, 1 call.",
        "Worker lost during batch 1 of albums (process gone or lease expired); retried from the last checkpoint.",
    ]
    assert list_.count('id="step-') == 6, "these and the beginning"
