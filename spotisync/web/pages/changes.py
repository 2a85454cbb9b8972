"""The feed of changes: what each run added to the library and removed from it, the newest first."""

from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from spotisync import status
from spotisync.store import accounts
from spotisync.web.dependencies import Before, ConnectionDep, ContextDep
from spotisync.web.pages.home import AccountName
from spotisync.web.templating import render_page

router = APIRouter(include_in_schema=False)

RUNS_PER_PAGE: Final = 20


@router.get("/changes")
def show_changes(
    request: Request,
    connection: ConnectionDep,
    context: ContextDep,
    account: AccountName = None,
    before: Before = None,
) -> Response:
    chosen = accounts.find_name(connection, account)
    names = accounts.list_names(connection, status.MOST_ACCOUNTS, chosen)
    changes = status.list_changes(connection, chosen, RUNS_PER_PAGE + 1, before)
    kept = {"account": chosen} if chosen else {}
    shown = changes[:RUNS_PER_PAGE]
    return render_page(
        request,
        "changes_feed.html",
        document=status.read_clock(connection, context.settings),
        changes=shown,
        account=chosen,
        names=names,
        has_several_accounts=len(names) > 1 and not chosen,
        before=before,
        query=f"?{urlencode(kept)}" if kept else "",
        older=urlencode({**kept, "before": shown[-1]["sync_id"]}) if len(changes) > RUNS_PER_PAGE else None,
    )
