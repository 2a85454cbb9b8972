"""What a page makes of a status document."""

import re
from typing import Any

import pytest

from spotisync.core import oauth
from spotisync.core.states import MOVES
from spotisync.status import actions, messages
from spotisync.web import labels, view
from spotisync.web.pages.home import render_status
from tests.support.documents import AT_WORK, NO_RUN, block, document, phase

LATER = "2026-11-23T12:02:00+00:00"


def shown(status: str | None = "in_progress", **changes: Any) -> dict[str, Any]:
    made = document(status, **{"playback": None, "worker": AT_WORK, **changes})
    runs = [{name: made[name] for name in ("sync_id", "sync_type", "status")}, *made["other_runs"]]
    newest = {run["sync_type"]: run for run in runs if run["sync_id"]}
    made["can"] = actions.actions(made, newest)
    return {**made, **messages.describe(made)}


def pressed(shown_one: dict[str, Any]) -> list[str]:
    return [f"{button.path} {button.value}".strip() for button in view.get_buttons(shown_one)]


@pytest.mark.parametrize(
    ("status", "paths"),
    [
        (None, ["/runs full"]),
        ("pending", ["/runs/12/cancel", "/runs incremental"]),
        ("in_progress", ["/runs/12/cancel"]),
        ("rate_limited", ["/runs/12/cancel", "/runs incremental"]),
        ("success", ["/runs incremental", "/runs full"]),
        ("failed", ["/runs/12/resume", "/runs incremental", "/runs full"]),
        ("cancelled", ["/runs/12/resume", "/runs incremental", "/runs full"]),
    ],
)
def test_shows_the_buttons_that_the_state_allows(status: str | None, paths: list[str]) -> None:
    assert pressed(shown(**{"status": status, **({} if status else NO_RUN)})) == paths
    assert not pressed(shown("success", account_status="needs_login", account_error=None))


def test_a_run_that_must_fail_again_cannot_be_resumed() -> None:
    blocked = shown("failed", last_error=oauth.no_premium_message("Active premium subscription required"))
    assert pressed(blocked) == ["/runs incremental", "/runs full"]
    assert "would fail again" in blocked["can"]["why_not"]["resume"]
    assert not view.get_run_buttons(blocked)
    assert (view.get_to_do(blocked) or "").startswith("Subscribe to Premium")


def test_the_page_names_buttons_instead_of_commands() -> None:
    held = {"kind": "removal", "id": "saved_tracks", "name": "saved tracks", "rows": 97, "confirmed": False}
    upcoming = [{"kind": "full", "words": "paused until the account logs in again (spotisync login)", "note": None}]
    login = {"account_status": "needs_login", "account_error": "its login has ended"}
    for made, words in (
        (shown(**NO_RUN, account=None, account_status=None), "Log in: open “Accounts”"),
        (shown(**NO_RUN), "Start a full sync: press “Full sync”"),
        (shown("failed", **login), "Log in again: open “Accounts”; then: press “Resume”"),
        (shown("cancelled"), "Resume from the last checkpoint: press “Resume”"),
        (shown("success", account_status="disabled"), "Enable the account: open “Accounts”"),
        (shown("success", deferred=[held]), "To confirm now: press “Remove …”"),
        (shown("success", upcoming=upcoming), "logs in again (open “Accounts”)"),
    ):
        html = render_status([made])
        assert words in html
        assert not re.search("spotisync (login|sync|resume|accounts)", html)


def test_a_held_removal_has_the_last_button() -> None:
    held = {"kind": "removal", "id": "saved_tracks", "name": "saved tracks", "rows": 1097, "confirmed": False}
    found = shown("success", deferred=[held, {**held, "name": "playlists", "rows": 30}])
    button = view.get_buttons(found)[-1]
    assert (button.label, button.path) == ("Remove 1,097 saved tracks and 30 playlists", "/accounts/confirm-removal")
    assert not shown("success", deferred=[{**held, "confirmed": True}])["can"]["confirm_removal"]
    assert not pressed(shown("success", deferred=[held], account_status="needs_login", account_error=None))


def test_counts_a_wait_down_beside_a_sentence_that_stays_true() -> None:
    waits = shown("rate_limited", blocked=[block("library", LATER)], worker={**AT_WORK, "has_it": False})
    assert "(3 h 12 min)" in waits["message"]
    assert view.get_headline(waits).startswith("Paused until 13:02: Spotify quota for library reads.")
    html = render_status([waits])
    assert f'data-until="{LATER}"' in html
    assert ">3 h 12 min</time>" in html


def test_announces_changes_but_not_each_number() -> None:
    heard = {view.get_announcement(shown(api_calls=calls, items_processed=40 * calls)) for calls in range(20)}
    assert heard == {"Reading saved tracks."}


def test_a_bar_shows_only_what_is_known() -> None:
    phases = {
        "tracks": phase(status="success", items_processed=3498, total_items=3500, percent_complete=100),
        "artists": phase(status="in_progress", items_processed=120, total_items=100, percent_complete=100),
        "albums": phase(status="in_progress", items_processed=7),
        "playlists": phase(),
    }
    tracks, artists, albums, playlists = view.get_bars(shown(phases=phases, current_phase="artists"))
    assert (tracks.valuetext, tracks.is_indeterminate) == ("3,498, 100%, done", False)
    assert artists.amount == "120 (100 expected)"
    assert (albums.valuetext, albums.is_indeterminate) == ("7, running", True)
    assert (playlists.valuetext, playlists.width) == ("queued", 0)
    some = {**phases, "tracks": phase(status="in_progress", items_processed=52, total_items=3503, percent_complete=1)}
    tracks = view.get_bars(shown(phases=some, sync_type="incremental"))[0]
    assert (tracks.valuetext, tracks.is_indeterminate) == ("52, running", True)


def test_escapes_text_from_other_people() -> None:
    html = render_status([shown("failed", last_error='<script>alert("x")</script>', display_name="<b>")])
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "style=" not in html


def test_every_state_has_a_label_and_an_icon() -> None:
    assert set(labels.STATES) == set(MOVES)
    for status in MOVES:
        assert "<h1" in render_status([shown(status)])


def test_a_phase_without_a_live_worker_is_shown_as_interrupted() -> None:
    orphaned = shown(worker={**AT_WORK, "alive": False})
    assert [bar.state for bar in view.get_bars(orphaned)] == ["waiting", *["queued"] * 3]
