"""The status pages as rendered by the server."""

import re
from html import unescape

from sqlalchemy import text

from spotisync.core import oauth
from spotisync.store import counters, runs, schedules
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


def find_form_token(client: TestClient) -> str:
    found = re.search(r'name="csrf" value="([^"]*)"', client.get("/", headers=PAGE).text)
    assert found
    return found[1]


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
    form = {"csrf": find_form_token(client), "sync_type": "full"}
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


def test_a_held_removal_has_a_button_until_it_is_confirmed(client: TestClient, store: Store) -> None:
    button = "Remove 97 saved tracks"
    store.run(status="success", completed_at="now()")
    form = {"csrf": find_form_token(client)}
    refused = client.post("/accounts/confirm-removal?account=me", data=form, headers=PAGE)
    assert "No removal of me has to be confirmed." in unescape(refused.text)
    assert button not in refused.text

    store.hold_removal()
    page = client.get("/", headers=PAGE).text
    assert 'formaction="/accounts/confirm-removal?account=me"' in page
    assert f"{button}</button>" in page
    assert "Spotify no longer lists 97 saved tracks, most of them at once." in page
    assert client.post("/accounts/confirm-removal?account=me", data={"csrf": "x"}, headers=PAGE).status_code == 403
    assert not store.one("SELECT removal_confirmed FROM listings")

    confirmed = client.post("/accounts/confirm-removal?account=me", data=form, headers=PAGE)
    run = store.sql("SELECT id, trigger FROM sync_history WHERE sync_type = 'incremental'")
    assert [each.trigger for each in run] == ["web"]
    assert f"Confirmed. Run {run[0].id} removes the items" in confirmed.text
    assert "The removal of 97 saved tracks is confirmed." in confirmed.text
    assert button not in confirmed.text
    assert store.one("SELECT removal_confirmed FROM listings")
    again = client.post("/accounts/confirm-removal?account=me", data=form, headers=HTMX)
    assert again.text.startswith('<div id="notice" role="status" hx-swap-oob="innerHTML">')
    assert store.one("SELECT count(*) FROM sync_history WHERE sync_type = 'incremental'") == 1


def test_held_removals_are_on_the_pages_of_all_accounts(client: TestClient, store: Store) -> None:
    store.account("other")
    words, button = "Spotify no longer lists 97 saved tracks, most of them at once.", "Remove 97 saved tracks"
    store.run(status="success", completed_at="now()")
    for page in ("/", "/accounts"):
        assert words not in client.get(page, headers=PAGE).text
    store.hold_removal()
    for page in ("/", "/accounts"):
        found = client.get(page, headers=PAGE).text
        assert (found.count(words), found.count(f"{button}</button>")) == (1, 1), page
        assert 'action="/accounts/confirm-removal?account=me"' in found, page
    assert "accounts confirm-removal" not in client.get("/", headers=PAGE).text
    form = {"csrf": find_form_token(client), "account": "me"}
    assert client.post("/accounts/confirm-removal?account=me", data=form, headers=PAGE).status_code == 200
    assert "The removal of 97 saved tracks is confirmed." in client.get("/", headers=PAGE).text
    assert button not in client.get("/accounts", headers=PAGE).text


def test_mentions_removed_messages_for_one_account_and_for_several(client: TestClient, store: Store) -> None:
    note = "Workers have removed 5 malformed or surplus messages from the broker"
    assert note not in client.get("/", headers=PAGE).text
    with store.database.begin() as connection:
        counters.increment(connection, {counters.REJECTED: 5})
        schedules.record_heartbeat(connection, "rejection")
    assert note in client.get("/", headers=PAGE).text
    assert client.get("/api/sync/status").json()["rejected_messages"]["count"] == 5
    store.account("other")
    assert client.get("/", headers=PAGE).text.count(note) == 1


def test_without_premium_pages_say_the_cure_once_and_offer_no_resume(client: TestClient, store: Store) -> None:
    message = "Active premium subscription required for the owner of the app. It can take a few hours."
    run = store.run()
    store.set(run.id, status="failed", completed_at="now()")
    store.sql("UPDATE sync_history SET last_error = :error", error=oauth.no_premium_message(message))
    for page in ("/", f"/runs/{run.id}"):
        visible = re.sub(r'<p class="unseen".*?</p>', "", client.get(page, headers=PAGE).text)  # for screen readers
        visible = re.sub(r"<details.*?</details>", "", visible, flags=re.DOTALL)  # the error to be copied
        found = unescape(re.sub(r"<[^>]+>", " ", visible))
        main = found[: found.index("History")] if "History" in found else found
        assert main.count("Subscribe to Premium with the account that owns the app") == 1, page
        assert main.count("Spotify refuses all requests of this app: Active premium subscription required") == 1, page
        assert "Resume" not in found, page
        assert "spotisync resume" not in found, page


def test_a_button_tells_what_its_sync_costs(client: TestClient, store: Store) -> None:
    run = store.run("full", status="success", completed_at="now()")
    store.sql("INSERT INTO run_events (sync_id, kind, family, calls) VALUES (:id, 'batch', 'library', 71)", id=run.id)
    form = {"csrf": find_form_token(client), "sync_type": "full"}
    begun = client.post("/runs?account=me", data=form, headers=HTMX)
    assert "Expected cost: about 71 library calls (600 of about 600 left today)." in begun.text
    again = client.post("/runs?account=me", data=form, headers=HTMX)
    assert "Expected cost" not in again.text


def test_a_run_that_waits_for_its_budget_continues_with_the_reserve(client: TestClient, store: Store) -> None:
    run = store.run("full", status="rate_limited", family="library")
    store.sql("UPDATE sync_history SET asked = false, not_before = now() + interval '2 hours'")
    page = unescape(client.get("/?account=me", headers=PAGE).text)
    assert "the daily budget for library reads is spent; older calls leave it by then (open “Budget”)" in page
    assert "Continue with the reserve</button>" in page
    form = {"csrf": find_form_token(client), "sync_type": "full"}
    joined = client.post("/runs?account=me", data=form, headers=HTMX).text
    assert f"Run {run.id} continues within seconds, with the reserve of the budget." in unescape(joined)
    assert store.sql("SELECT asked, not_before FROM sync_history") == [(True, None)]
    assert "Continue with the reserve" not in client.get("/?account=me", headers=PAGE).text


def test_of_very_many_accounts_those_with_runs_are_shown(client: TestClient, store: Store) -> None:
    store.sql("INSERT INTO accounts (spotify_user_id) SELECT 'account' || n FROM generate_series(1, 50) n")
    store.sql("UPDATE accounts SET status = 'needs_login' WHERE spotify_user_id = 'account44'")
    busy = store.one("SELECT id FROM accounts WHERE spotify_user_id = 'account50'")
    store.run(account_id=busy)
    documents = client.get("/api/sync/status").json()
    names = [each["account"] for each in documents]
    assert (len(names), names[-2:], documents[0]["more_accounts"]) == (30, ["account44", "account50"], 21)
    page = client.get("/", headers=PAGE).text
    assert "21 more accounts are not shown here" in page
    assert re.findall(r'<h2><a href="/\?account=(account\d+)"', page)[-2:] == ["account44", "account50"]
    assert '<input type="search" id="account" name="account"' in page
    one = client.get("/?account=account43", headers=PAGE).text
    assert ("account43" in one, "more accounts are not shown" in one) == (True, False)
    assert "<option selected>account43</option>" in client.get("/stats?account=account43", headers=PAGE).text
    assert '?account=account43" aria-current="page"' in client.get("/changes?account=account43", headers=PAGE).text
    library = client.get("/library?account=account43", headers=PAGE).text
    assert re.search(r'<input type="search" id="account"[^>]* value="account43"', library)
    assert len(re.findall(r"<option>account", library)) == 30, "29 of the first 30, and the chosen one"
