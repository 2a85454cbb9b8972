"""`spotisync doctor`: check everything that a sync needs, and explain how to fix it."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.context import AsJson
from spotisync.cli.exit_codes import DONE, FAILED, LOGIN_NEEDED, UNREACHABLE
from spotisync.cli.output import console, print_json, print_text

if TYPE_CHECKING:
    from spotisync.cli.checks import Finding

STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not call Spotify. By default, one call is made per account.")
    ] = False,
    accept_drift: Annotated[
        bool,
        typer.Option(
            "--accept-drift", help="Accept Spotify's replies as they are now: removals that they freeze are applied."
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Check servers, workers, schedule, logins and limits, and suggest fixes.

    Exit code: 0 if no check failed, 3 if a server can't be reached, 4 if an
    account must log in, otherwise 1.
    """
    from spotisync.cli import checks
    from spotisync.settings import settings

    if accept_drift:
        _accept_drift()
    findings: list[Finding] = []
    for finding in checks.run_checks(settings(), online=not offline):
        findings.append(finding)
        if not json:
            _print(finding)
    code = get_exit_code(findings)
    if json:
        print_json({"ok": code == DONE, "findings": [_as_dict(each) for each in findings]})
    else:
        failed = sum(each.state == "failed" for each in findings)
        print_text(f"\n{failed} of {len(findings)} checks failed." if failed else "\nNo check failed.")
    raise typer.Exit(code)


def _accept_drift() -> None:
    from spotisync.cli.context import open_context
    from spotisync.settings import settings
    from spotisync.sync import drift

    with open_context(settings()) as context:
        drift.accept_changes(context)


def get_exit_code(findings: "list[Finding]") -> int:
    codes = {each.code for each in findings if each.state == "failed"}
    return next((code for code in (UNREACHABLE, LOGIN_NEEDED, FAILED) if code in codes), DONE)


def _print(finding: "Finding") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(min_width=7)
    table.add_row(
        Text(finding.state, STYLES[finding.state]), Text.assemble((f"{finding.check}: ", "bold"), finding.message)
    )
    if finding.cure:
        table.add_row("", Text(f"Fix: {finding.cure}"))
    console().print(table)


def _as_dict(finding: "Finding") -> dict[str, str | None]:
    return {"check": finding.check, "state": finding.state, "message": finding.message, "cure": finding.cure}
