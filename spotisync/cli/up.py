"""`spotisync up`: the whole stack for a real Spotify account."""

from typing import TYPE_CHECKING

from spotisync.cli.output import say, tell_the_stack
from spotisync.core.consent import LOGIN

if TYPE_CHECKING:
    from spotisync.settings import Settings
    from spotisync.stack.supervisor import Stage


def up() -> None:
    """Run everything for your Spotify account on this machine, until Ctrl-C.

    Starts the embedded servers where no URL names others, brings the tables up to date, and keeps a worker and a
    scheduler running, and the web page. Needs SPOTIPY_CLIENT_ID, in the environment or in .env.
    """
    from spotisync.cli import programs
    from spotisync.settings import settings
    from spotisync.stack.lock import locked
    from spotisync.stack.supervisor import Supervisor

    chosen = settings()
    chosen.require_client_id()
    chosen.check_address()
    tell_the_stack()
    with locked(chosen.data_dir):
        chosen.secret_keys()  # missing, that is to be said before anything starts
        chosen = programs.take_port(chosen)
        with Supervisor(_stages(chosen)) as supervisor:
            if supervisor.start():
                _tell_what_next(chosen)
            supervisor.run_until(lambda: False)
    say("Stopped.")


def _stages(chosen: "Settings") -> "list[Stage]":
    from spotisync.cli import programs
    from spotisync.store import migrate

    return [
        programs.servers(chosen),
        lambda: migrate.upgrade(chosen.database),
        [programs.worker(chosen), programs.beat(chosen), programs.web(chosen), *programs.flower(chosen)],
    ]


def _tell_what_next(chosen: "Settings") -> None:
    from spotisync.cli import programs
    from spotisync.sync import Sync, enrol

    say(f"spotisync is up: {programs.address(chosen)}. Logs: {chosen.data_dir}/logs. Ctrl-C stops everything.")
    sync = Sync.from_settings(chosen)
    try:
        names = [account.spotify_user_id for account in enrol.every(sync)]
    finally:
        sync.close()
    if names:
        say(f"Accounts: {', '.join(names)}. In another terminal: spotisync status --watch")
    else:
        say(f"There is no account yet. In another terminal: {LOGIN}, then: spotisync sync full --wait")
