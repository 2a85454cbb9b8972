"""The JSON API of budgets: calls spent and expected, by developer account and family."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from spotisync.status import budget
from spotisync.web.api import models
from spotisync.web.api.sync import NO_CACHE
from spotisync.web.dependencies import AccountFilter, ContextDep
from spotisync.web.errors import problem_responses

router = APIRouter(prefix="/api/budget", tags=["budget"])


@router.get(
    "",
    summary="Calls of the last and the next 24 hours, and their ceilings",
    response_model=models.BudgetDocument,
    responses=problem_responses(404, 422, 503),
)
def get_budget(context: ContextDep, account: AccountFilter = None) -> Response:
    """Returns the developer accounts in use, or the one whose app the given account uses."""
    with context.database.begin() as connection:
        found = budget.read_document(connection, context.settings, account)
    return JSONResponse(found, headers=NO_CACHE)
