"""The JSON API of accounts: confirm held removals."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from spotisync.web.actions import ActionsDep
from spotisync.web.api.sync import CHANGE_RUN, respond
from spotisync.web.dependencies import AccountInPath

router = APIRouter(prefix="/api/accounts", tags=["accounts"])


@router.post("/{account}/confirm-removal", summary="Confirm the removal of most rows of a list", **CHANGE_RUN)
def confirm_removal(request: Request, account: AccountInPath, actions: ActionsDep) -> Response:
    """Starts an incremental sync, or joins an unfinished run, which removes the rows that Spotify still does not list.

    A joined run that has already read the list leaves them to the next run. The entries of `deferred` with the kind
    `removal` in the status are what is confirmed. 409: there is none, or the account must log in again or is disabled.
    """
    return respond(request, actions.context, actions.confirm_removal(account, "api"), 202)
