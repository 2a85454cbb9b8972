"""Read the figures of a report, all from one snapshot."""

from spotisync.core.report import ReportData
from spotisync.store import accounts, report
from spotisync.store.database import Database
from spotisync.store.export import begin_snapshot


def read_report(database: Database, account: str | None, zone: str, top: int) -> ReportData:
    """Without the name of an account, of the only one. `top`: the length of each list."""
    with database.begin() as connection:
        begin_snapshot(connection)
        owner = accounts.find_account(connection, account)
        return report.read_report(connection, owner.id, zone, top)
