"""The status pages as rendered by the server."""

import re
from html import unescape

from sqlalchemy import text

from spotisync.store import runs
from tests.support.store import Store
from tests.web.conftest import TestClient

PAGE = {"Accept": "text/html"}
HTMX = {**PAGE, "HX-Request": "true"}


def ended(store: Store) -> int:
    with store.database.begin() as connection:
        account = connection.execute(text("SELECT id FROM accounts")).scalar_one()
        sync_id = runs.create(connection, account, "full", "cli", None, None)
        connection.execute(
            text("UPDATE sync_history SET status = 'success', completed_at = now() WHERE id = :id"), {"id": sync_id}
        )
    return sync_id


def listed(html: str) -> list[int]:
    return [int(number) for number in re.findall(r'id="run-(\d+)"', html)]


def test_pages_the_history_by_the_last_run_shown(client: TestClient, store: Store) -> None:
    made = [ended(store) for _ in range(12)]
    newest = client.get("/", headers=PAGE).text
    assert listed(newest) == made[:1:-1]
    older = re.search(r'rel="next" href="(/\?before=\d+)#history"', newest)
    assert older
    ended(store)
    assert listed(client.get(older[1], headers=PAGE).text) == made[1::-1]


def test_a_button_shows_its_effect_or_why_it_came_too_late(client: TestClient, store: Store) -> None:
    token = re.search(r'name="csrf" value="([^"]*)"', client.get("/", headers=PAGE).text)
    assert token
    form = {"csrf": token[1], "sync_type": "full"}
    begun = client.post("/runs?account=me", data=form, headers=PAGE)
    assert (begun.status_code, begun.headers["location"]) == (303, "/?account=me")
    with store.database.begin() as connection:
        made = connection.execute(text("SELECT id, trigger FROM sync_history")).one()
    assert made.trigger == "web"
    again = client.post("/runs?account=me", data=form, headers=PAGE)
    assert f"Already covered by run {made.id} (full sync, running)." in unescape(again.text)
    with store.database.begin() as connection:
        connection.execute(text("UPDATE sync_history SET status = 'success', completed_at = now()"))
    late = client.post(f"/runs/{made.id}/cancel?account=me", data=form, headers=HTMX)
    assert late.status_code == 200
    assert late.text.startswith('<div id="notice" role="status" hx-swap-oob="innerHTML">')
    assert f"Run {made.id} can't be cancelled: it is already done." in unescape(late.text)
    assert f"Run {made.id} can't be resumed: it is already done." in unescape(
        client.post(f"/runs/{made.id}/resume", data=form, headers=PAGE).text
    )
    assert client.get(f"/runs/{made.id}", headers=PAGE).status_code == 200


def test_an_unknown_run_returns_404(client: TestClient) -> None:
    assert client.get("/runs/4711", headers=PAGE).status_code == 404
