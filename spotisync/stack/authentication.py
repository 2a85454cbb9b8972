"""Who may connect to the embedded PostgreSQL: the user that runs spotisync, as the owner of the tables."""

import os
import pwd
from pathlib import Path
from typing import Final

from spotisync.store.owner_role import OWNER

MAP: Final = "spotisync"


def write_rules(data_dir: Path) -> dict[str, str]:
    """Write the files `pg_hba.conf` and `pg_ident.conf`; return the server settings that name them."""
    user = _current_user_name()
    # PostgreSQL looks up the name of the other side. A user without a name is identified by the socket's directory.
    method = f"peer map={MAP}" if user else "trust"
    rules = f"local all {OWNER} {method}\nlocal all all scram-sha-256\n"
    names = f'{MAP} "{user}" {OWNER}\n' if user else ""
    return {
        "hba_file": _write(data_dir / "pg_hba.conf", rules),
        "ident_file": _write(data_dir / "pg_ident.conf", names),
    }


def _current_user_name() -> str | None:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name.replace('"', '""')
    except KeyError:
        return None


def _write(file: Path, text: str) -> str:
    """Replace a file, readable for the user of the server."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(f"# Written by spotisync at each start.\n{text}")
    temporary.chmod(0o644)
    temporary.replace(file)
    return str(file)
