"""The budget: its page without JavaScript, its forms, and the JSON route."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest

from spotisync.web import charts
from tests.support.store import CLIENT, Store
from tests.web.conftest import TestClient

PAGE = {"Accept": "text/html"}


@pytest.fixture
def submit(client: TestClient) -> Callable[..., Any]:
    """Submit a form of the page; return the page that follows."""

    def submit(path: str, **fields: str) -> str:
        token = re.search(r'name="csrf" value="([^"]*)"', client.get("/budget", headers=PAGE).text)
        assert token
        answer = client.post(path, data={"csrf": token[1], **fields}, headers=PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/budget"), answer.text
        return unescape(client.get("/budget", headers=PAGE).text)

    return submit


def spend(store: Store, calls: int, client: str = CLIENT) -> None:
    store.sql(
        "INSERT INTO call_ledger VALUES (:client, 'library', date_trunc('minute', now()), :id, :calls)",
        client=client, id=store.account_id, calls=calls,
    )  # fmt: skip


def card(html: str, family: str) -> str:
    return html.partition(f'id="family-1-{family}"')[2].partition("</section>")[0]


def test_shows_each_family_with_its_bar_chart_and_table(client: TestClient, store: Store) -> None:
    spend(store, 312)
    html = unescape(client.get("/budget", headers=PAGE).text)
    assert '<a href="/budget" aria-current="page">' in html
    assert [
        html.count(f'id="family-1-{name}"') for name in ("library", "playlists", "artists", "albums", "player")
    ] == [1] * 5
    library = card(html, "library")
    assert 'aria-label="312 of 600 calls spent, 60 reserved"' in library
    assert "Library: 312 of an assumed 600 calls spent in 24 h" in library
    assert library.count('class="past"') == 1
    assert re.search(r"<td>\w{3} \d\d:\d\d to \w{3} \d\d:\d\d</td><td class=\"right\">312</td>", library)
    assert "<figure" not in card(html, "albums")
    assert " style=" not in html


def test_a_family_is_blocked_and_released_by_hand(submit: Callable[..., str], store: Store) -> None:
    page = submit("/budget/block", family="library", **{"for": "2h"})
    assert "Library: blocked by hand." in page
    assert "blocked until" in card(page, "library")
    assert store.sql("SELECT family, reason FROM rate_limits") == [("library", "manual")]
    assert "End the block" in card(page, "library")
    assert "End the block" not in card(page, "player")
    assert "The block is cleared." in submit("/budget/clear", family="library")
    assert "The block is over already." in submit("/budget/clear", family="library")
    assert "not between 1 second and 24 hours" in submit("/budget/block", family="library", **{"for": "7d"})
    assert store.sql("SELECT family FROM rate_limits") == []


def test_a_block_of_all_requests_has_its_own_words(submit: Callable[..., str], store: Store) -> None:
    page = submit("/budget/block", family="*", **{"for": "30m"})
    assert page.count("End the block of all requests") == 5
    submit("/budget/clear", family="*")
    assert store.sql("SELECT family FROM rate_limits") == []


def test_forms_need_their_token_and_a_known_family(client: TestClient, store: Store) -> None:
    for path in ("/budget/block", "/budget/clear"):
        assert client.post(path, data={"csrf": "x", "family": "library", "for": "2h"}).status_code == 403
    token = re.search(r'name="csrf" value="([^"]*)"', client.get("/budget", headers=PAGE).text)
    assert token
    assert client.post("/budget/block", data={"csrf": token[1], "family": "x", "for": "2h"}).status_code == 422
    assert store.sql("SELECT family FROM rate_limits") == []


def test_an_own_app_has_its_own_budget_and_forms(submit: Callable[..., str], client: TestClient, store: Store) -> None:
    own = store.account("own")
    store.sql("UPDATE accounts SET client_id = 'theirs', developer = 'Bob' WHERE id = :id", id=own)
    spend(store, 7, "Bob")
    html = client.get("/budget", headers=PAGE).text
    assert "App of Bob" in html
    assert 'name="owner" value="own"' in html
    alone = client.get("/budget?account=own", headers=PAGE).text
    assert "7 of an assumed 600" in alone
    assert "App of this server" not in alone
    submit("/budget/block", family="player", owner="own", **{"for": "2h"})
    assert store.sql("SELECT client_id FROM rate_limits") == [("Bob",)]
    assert "Unknown account" in submit("/budget/block", family="player", owner="gone", **{"for": "2h"})


def test_many_developer_accounts_do_not_make_a_long_page(client: TestClient, store: Store) -> None:
    for number in range(30):
        id_ = store.account(f"account {number}")
        store.sql("UPDATE accounts SET client_id = :app WHERE id = :id", app=f"app {number:02}", id=id_)
    html = client.get("/budget", headers=PAGE).text
    assert html.count('class="owner"') == 20
    assert "11 more developer accounts are not shown" in html


def test_the_json_has_the_same(client: TestClient, store: Store) -> None:
    spend(store, 312)
    (developer,) = client.get("/api/budget").json()["developers"]
    assert developer["families"][0]["spent"] == 312
    assert client.get("/api/budget?account=me").status_code == 200
    assert client.get("/api/budget?account=nobody").status_code == 404


# ---- charts ---------------------------------------------------------------------------------------------------------


def family(**changes: Any) -> dict[str, Any]:
    return {"spent": 0, "ceiling": 600, "allowance": 540, "past": [0] * 24, "coming": [0] * 24, **changes}


@pytest.mark.parametrize(
    ("spent", "style", "width"), [(0, "in_progress", 0), (539, "in_progress", 89.83), (540, "rate_limited", 90),
    (600, "failed", 100), (900, "failed", 100)]
)  # fmt: skip
def test_a_bar_ends_at_the_ceiling_or_at_what_is_spent(spent: int, style: str, width: float) -> None:
    bar = charts.get_bar(family(spent=spent))
    assert bar
    assert (bar.style, bar.spent) == (style, width)
    assert bar.allowance <= bar.ceiling <= 100
    assert charts.get_bar(family(ceiling=None)) is None


def test_a_single_call_stays_visible() -> None:
    found = list(charts.get_columns(family(past=[1, *[0] * 22, 1000], coming=[5, *[0] * 23])))
    assert (found[0].height, found[23].height, found[1].height) == (1.5, 60, 0)
    assert [each.is_coming for each in found] == [False] * 24 + [True] * 24
