"""`spotisync up`: run the whole stack for real Spotify accounts."""

from typing import TYPE_CHECKING

from spotisync.cli.context import open_database
from spotisync.cli.output import print_text, show_stack_events
from spotisync.core.oauth import LOGIN

if TYPE_CHECKING:
    from spotisync.settings import Settings
    from spotisync.stack.supervisor import Stage


def up() -> None:
    """Run everything on this machine for your Spotify accounts, until Ctrl-C.

    Starts embedded servers unless URLs of your own are set, migrates the schema,
    and runs a worker, beat, the web page and Flower. Requires SPOTIPY_CLIENT_ID,
    in the environment or in .env.
    """
    from spotisync.cli import processes
    from spotisync.settings import settings
    from spotisync.stack.directories import lock_data_dir
    from spotisync.stack.supervisor import Supervisor

    chosen = settings()
    chosen.require_client_id()
    chosen.check_address()
    show_stack_events()
    with lock_data_dir(chosen.data_dir):
        chosen.secret_keys()  # raises, before anything starts, if the key is missing
        chosen = processes.choose_port(chosen)
        with Supervisor(_stages(chosen)) as supervisor:
            if supervisor.start():
                _print_next_steps(chosen)
            supervisor.run_until(lambda: False)
    print_text("Stopped.")


def _stages(chosen: "Settings") -> "list[Stage]":
    from spotisync.cli import processes

    return [
        processes.server_processes(chosen),
        processes.database_step(chosen),
        [
            processes.worker_process(chosen),
            processes.beat_process(chosen),
            processes.web_process(chosen),
            *processes.flower_process(chosen),
        ],
    ]


def _print_next_steps(chosen: "Settings") -> None:
    from spotisync.cli import processes
    from spotisync.store import accounts

    print_text(f"spotisync is up: {processes.page_url(chosen)}. Logs: {chosen.data_dir}/logs. Ctrl-C stops everything.")
    with open_database(chosen) as database, database.begin() as connection:
        names = [account.spotify_user_id for account in accounts.list_accounts(connection)]
    if names:
        print_text(f"Accounts: {', '.join(names)}. In another terminal: spotisync status --watch")
    else:
        print_text(f"No account yet. In another terminal: {LOGIN}, then: spotisync sync full --wait")
