"""Music that has vanished at Spotify, by reason."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from spotisync.status.vanished import describe_item, read_vanished
from spotisync.web.dependencies import ConnectionDep, ContextDep
from spotisync.web.pages.home import AccountName
from spotisync.web.pages.stats import choose_account, load_frame
from spotisync.web.templating import render_page

router = APIRouter(include_in_schema=False)

PATH: Final = "/vanished"


@router.get(PATH)
def show_vanished(
    request: Request, connection: ConnectionDep, context: ContextDep, account: AccountName = None
) -> Response:
    known = choose_account(connection, account)
    frame = load_frame(connection, known, "1y", PATH)
    return render_page(
        request,
        "vanished.html",
        **frame,
        query={"account": frame["account"]} if len(frame["names"]) > 1 else {},
        document=read_vanished(connection, known) if known else None,
        zone=ZoneInfo(context.settings.zone),
        parse_time=datetime.fromisoformat,
        describe_item=describe_item,
    )
