"""The command tree."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup, TyperOption

from spotisync.cli import (
    accounts,
    backup,
    budget,
    db,
    demo,
    doctor,
    export,
    import_history,
    limits,
    login,
    notify,
    psql,
    report,
    schedule,
    status,
    sync,
    up,
    vanished,
    web,
)
from spotisync.cli.exit_codes import shorten_words
from spotisync.cli.output import show_warnings
from spotisync.logs import remove_controls

Demo = Annotated[bool, typer.Option("--demo", help="Use the library of the running demo. Any command takes it.")]


UsageError: Final[Any] = typer.BadParameter.__mro__[1]  # click's, or that of typer's copy of click


@contextmanager
def _shortened_usage_errors() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        error.message = shorten_words(remove_controls(str(error.message)))
        raise


class Root(TyperGroup):
    """Takes `--demo` also after the command, and repeats no megabyte in an error of usage."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _shortened_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _shortened_usage_errors():
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = args[: args.index("--")] if "--" in args else args
        rest = [word for word in own if word != "--demo"] + args[len(own) :]
        return super().parse_args(ctx, ["--demo", *rest] if len(rest) < len(args) else rest)


app = typer.Typer(
    name="spotisync",
    cls=Root,
    help="Keep a complete, current copy of your Spotify library in your own PostgreSQL.",
    epilog="To try it: spotisync demo. The demo needs no Spotify account and no other software.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DESCRIBE_TYPE: Final = "display_type_rich"


def _hide_types_of_flags() -> None:
    """Newer versions of typer print `<bool>` beside each flag, and have no option to leave it out."""
    if describe := getattr(TyperOption, DESCRIBE_TYPE, None):
        setattr(TyperOption, DESCRIBE_TYPE, lambda self, ctx: None if self.is_flag else describe(self, ctx))


_hide_types_of_flags()
PASS_ARGUMENTS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def _print_version(requested: bool) -> None:  # noqa: FBT001 (typer's callback)
    if requested:
        from importlib.metadata import version

        typer.echo(f"spotisync {version('spotisync')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    demo: Demo = False,
) -> None:
    del version
    show_warnings()
    if demo:
        from spotisync.cli.demo.environment import join_running_demo

        join_running_demo()


app.command("demo", epilog="Example: spotisync demo")(demo.demo)
app.command("up", epilog="Example: SPOTIPY_CLIENT_ID=… spotisync up")(up.up)
app.command("login", epilog="Example: spotisync login")(login.login)
app.add_typer(accounts.app, name="accounts")
app.add_typer(sync.app, name="sync")
app.command("status", epilog="Example: spotisync status --watch")(status.status)
app.command("history", epilog="Example: spotisync history --limit 5")(status.history)
app.command("cancel", epilog="Example: spotisync cancel 12")(sync.cancel)
app.command("resume", epilog="Example: spotisync resume 12 --wait")(sync.resume)
app.command("vanished", epilog="Example: spotisync vanished --json")(vanished.vanished)
app.command("budget", epilog="Example: spotisync budget --account alice")(budget.budget)
app.add_typer(limits.app, name="limits")
app.command("web", epilog="Example: spotisync web --port 8421")(web.web)
app.command("notify", epilog="Example: spotisync notify --test")(notify.notify)
app.command("import", epilog="Example: spotisync import my_spotify_data.zip")(import_history.import_)
app.command("schedule", epilog="Example: spotisync schedule")(schedule.schedule)
app.command("export", epilog="Example: spotisync export my-library --format jsonl")(export.export)
app.command("report", epilog="Example: spotisync report library.html")(report.report)
app.command("backup", epilog="Example: spotisync backup spotisync.backup")(backup.backup)
app.command("restore", epilog="Example: SPOTISYNC_DATA_DIR=/new/place spotisync restore spotisync.backup")(
    backup.restore
)
app.command(
    "psql",
    epilog="Example: spotisync psql -c 'SELECT count(*) FROM saved_tracks'",
    context_settings=PASS_ARGUMENTS_ON,
)(psql.psql)
app.add_typer(db.app, name="db")
app.command("doctor", epilog="Example: spotisync doctor --offline")(doctor.doctor)


@app.command(
    "simulator",
    epilog="Example: spotisync simulator --library small --port 8421",
    context_settings={**PASS_ARGUMENTS_ON, "help_option_names": []},
)
def _simulator(context: typer.Context) -> None:
    """Run the Spotify simulator, without anything else."""
    from spotisync.simulator.__main__ import main

    sys.argv = ["spotisync simulator", *context.args]
    main()
