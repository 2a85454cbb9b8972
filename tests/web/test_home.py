"""The pages of the status, as they come from the server."""

import re
import warnings
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from spotisync.settings import Settings
from spotisync.store import runs
from spotisync.web import create_app
from spotisync.web.acts import Acts
from tests.store.conftest import Store, shared_url  # noqa: F401 (a fixture)
from tests.store.conftest import database as database  # noqa: PLC0414
from tests.store.conftest import database_url as database_url  # noqa: PLC0414
from tests.store.conftest import store as store  # noqa: PLC0414

with warnings.catch_warnings():
    # Starlette would rather have httpx2, which it takes for the same.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

PAGE = {"Accept": "text/html"}
HTMX = {**PAGE, "HX-Request": "true"}


@pytest.fixture
def front(make_settings: Callable[..., Settings], store: Store) -> Iterator[TestClient]:
    app = create_app(make_settings("http://127.0.0.1:1", timezone="UTC"))
    app.state.acts = Acts(app.state.sync, lambda _: True, lambda: None)
    yield TestClient(app, base_url="http://127.0.0.1:8420", follow_redirects=False)
    app.state.sync.close()


def ended(store: Store) -> int:
    with store.database.begin() as connection:
        account = connection.execute(text("SELECT id FROM accounts")).scalar_one()
        sync_id = runs.create(connection, account, "full", "cli", None, None, stall=30)
        connection.execute(
            text("UPDATE sync_history SET status = 'success', completed_at = now() WHERE id = :id"), {"id": sync_id}
        )
    return sync_id


def listed(html: str) -> list[int]:
    return [int(number) for number in re.findall(r'id="run-(\d+)"', html)]


def test_history_is_paged_by_the_run_that_was_seen_last(front: TestClient, store: Store) -> None:
    made = [ended(store) for _ in range(12)]
    newest = front.get("/", headers=PAGE).text
    assert listed(newest) == made[:1:-1]
    older = re.search(r'rel="next" href="(/\?before=\d+)#history"', newest)
    assert older
    ended(store)
    assert listed(front.get(older[1], headers=PAGE).text) == made[1::-1]


def test_a_press_is_answered_by_its_effect_and_one_that_came_late_by_words(front: TestClient, store: Store) -> None:
    token = re.search(r'name="csrf" value="([^"]*)"', front.get("/", headers=PAGE).text)
    assert token
    form = {"csrf": token[1], "sync_type": "full"}
    begun = front.post("/runs?account=me", data=form, headers=PAGE)
    assert (begun.status_code, begun.headers["location"]) == (303, "/?account=me")
    with store.database.begin() as connection:
        made = connection.execute(text("SELECT id, trigger FROM sync_history")).one()
    assert made.trigger == "web"
    again = front.post("/runs?account=me", data=form, headers=PAGE)
    assert f"Nothing new was begun: run {made.id}, full sync, has not ended yet" in again.text
    with store.database.begin() as connection:
        connection.execute(text("UPDATE sync_history SET status = 'success', completed_at = now()"))
    late = front.post(f"/runs/{made.id}/cancel?account=me", data=form, headers=HTMX)
    assert late.status_code == 200
    assert late.text.startswith('<div id="notice" role="status" hx-swap-oob="innerHTML">')
    assert f"There was nothing to cancel any more: run {made.id} had ended before (done)." in late.text
    assert f"run {made.id} had ended before" in front.post(f"/runs/{made.id}/resume", data=form, headers=PAGE).text
    assert front.get(f"/runs/{made.id}", headers=PAGE).status_code == 200


def test_a_run_that_is_not_there_is_no_page(front: TestClient) -> None:
    assert front.get("/runs/4711", headers=PAGE).status_code == 404
