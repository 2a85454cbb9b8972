"""`spotisync up`: the whole stack for a real Spotify account."""

from typing import TYPE_CHECKING

from spotisync.cli.output import print_text, show_stack_events
from spotisync.core.oauth import LOGIN

if TYPE_CHECKING:
    from spotisync.settings import Settings
    from spotisync.stack.supervisor import Stage


def up() -> None:
    """Run everything for your Spotify account on this machine, until Ctrl-C.

    Starts the embedded servers where no URL names others, brings the tables up to date, and keeps a worker and a
    scheduler running, and the web page. Needs SPOTIPY_CLIENT_ID, in the environment or in .env.
    """
    from spotisync.cli import processes
    from spotisync.settings import settings
    from spotisync.stack.lock import lock_data_dir
    from spotisync.stack.supervisor import Supervisor

    chosen = settings()
    chosen.require_client_id()
    chosen.check_address()
    show_stack_events()
    with lock_data_dir(chosen.data_dir):
        chosen.secret_keys()  # missing, that is to be said before anything starts
        chosen = processes.choose_port(chosen)
        with Supervisor(_stages(chosen)) as supervisor:
            if supervisor.start():
                _tell_what_next(chosen)
            supervisor.run_until(lambda: False)
    print_text("Stopped.")


def _stages(chosen: "Settings") -> "list[Stage]":
    from spotisync.cli import processes
    from spotisync.store import migrate

    return [
        processes.server_processes(chosen),
        lambda: migrate.upgrade(chosen.database),
        [
            processes.worker_process(chosen),
            processes.beat_process(chosen),
            processes.web_process(chosen),
            *processes.flower_process(chosen),
        ],
    ]


def _tell_what_next(chosen: "Settings") -> None:
    from spotisync.cli import processes
    from spotisync.sync import Context, accounts

    print_text(f"spotisync is up: {processes.page_url(chosen)}. Logs: {chosen.data_dir}/logs. Ctrl-C stops everything.")
    sync = Context.from_settings(chosen)
    try:
        names = [account.spotify_user_id for account in accounts.list_accounts(sync)]
    finally:
        sync.close()
    if names:
        print_text(f"Accounts: {', '.join(names)}. In another terminal: spotisync status --watch")
    else:
        print_text(f"There is no account yet. In another terminal: {LOGIN}, then: spotisync sync full --wait")
