"""All commands, by the names that scripts rely on."""

from typing import Annotated

import typer

from spotisync.cli import (
    accounts,
    backups,
    db,
    demo,
    doctor,
    exports,
    imports,
    limits,
    login,
    looks,
    notify,
    psql,
    schedule,
    simulator,
    syncs,
    up,
    web,
)
from spotisync.cli.output import tell_warnings

app = typer.Typer(
    name="spotisync",
    help="Your Spotify library in your own Postgres, complete and current.",
    epilog="Begin with: spotisync demo. It needs no Spotify account and nothing installed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (typer's callback)
    if wanted:
        from importlib.metadata import version

        typer.echo(f"spotisync {version('spotisync')}")
        raise typer.Exit


@app.callback()
def _always(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    del version
    tell_warnings()


app.command("demo", epilog="Example: spotisync demo")(demo.demo)
app.command("up", epilog="Example: SPOTIPY_CLIENT_ID=… spotisync up")(up.up)
app.command("login", epilog="Example: spotisync login")(login.login)
app.add_typer(accounts.app, name="accounts")
app.add_typer(syncs.app, name="sync")
app.command("status", epilog="Example: spotisync status --watch")(looks.status)
app.command("history", epilog="Example: spotisync history --limit 5")(looks.history)
app.command("cancel", epilog="Example: spotisync cancel 12")(syncs.cancel)
app.command("resume", epilog="Example: spotisync resume 12 --wait")(syncs.resume)
app.add_typer(limits.app, name="limits")
app.command("web", epilog="Example: spotisync web --port 8421")(web.web)
app.command("notify", epilog="Example: spotisync notify --test")(notify.notify)
app.command("import", epilog="Example: spotisync import my_spotify_data.zip")(imports.import_)
app.command("schedule", epilog="Example: spotisync schedule")(schedule.schedule)
app.command("export", epilog="Example: spotisync export my-library --format jsonl")(exports.export)
app.command("backup", epilog="Example: spotisync backup spotisync.backup")(backups.backup)
app.command("restore", epilog="Example: SPOTISYNC_DATA_DIR=/new/place spotisync restore spotisync.backup")(
    backups.restore
)
app.command(
    "psql",
    epilog="Example: spotisync psql -c 'SELECT count(*) FROM saved_tracks'",
    context_settings=PASSED_ON,
)(psql.psql)
app.add_typer(db.app, name="db")
app.command("doctor", epilog="Example: spotisync doctor --offline")(doctor.doctor)
app.command(
    "simulator",
    help="Run the Spotify simulator alone; `spotisync simulator --help` lists its options.",
    epilog="Example: spotisync simulator --library small --port 8421",
    context_settings={**PASSED_ON, "help_option_names": []},
)(simulator.simulator)
