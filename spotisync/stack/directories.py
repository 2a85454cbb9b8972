"""Who the servers run as, and directories that they can enter and others can't."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from spotisync.errors import Misconfigured


@dataclass(frozen=True)
class SystemUser:
    uid: int
    gid: int

    def may_enter(self, directory: Path) -> bool:
        """Whether this user can walk down to it. The kernel answers only for ourselves, so the mode bits are read."""
        way = [directory.resolve(), *directory.resolve().parents]
        return all(self._has(at.stat(), stat.S_IXUSR) for at in way)

    def may_run(self, program: Path) -> bool:
        both = stat.S_IRUSR | stat.S_IXUSR
        return self.may_enter(program.parent) and self._has(program.stat(), both)

    def _has(self, status: os.stat_result, bits: int) -> bool:
        if status.st_uid == self.uid:
            return status.st_mode & bits == bits
        shift = 3 if status.st_gid == self.gid else 6
        return status.st_mode & (bits >> shift) == bits >> shift


def server_user() -> SystemUser | None:
    """`nobody` when we are root, because PostgreSQL refuses to run as root; else none, which is ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise Misconfigured(
            "PostgreSQL can't run as root, and this machine has no user `nobody`: start spotisync as a normal user"
        ) from None
    return SystemUser(nobody.pw_uid, nobody.pw_gid)


def prepare_data_dir(path: Path) -> Path:
    """Make the data dir, or check that the one that stands there can be used."""
    user = server_user()
    try:
        _make(path, 0o711 if user else 0o700)
    except OSError as error:
        raise Misconfigured(f"the data dir {path} can't be made ({error.strerror}): set SPOTISYNC_DATA_DIR") from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise Misconfigured(f"the data dir {path} can't be written by this user: set SPOTISYNC_DATA_DIR")
    if user:
        _check_way(path, user)
    return path


def _make(path: Path, mode: int) -> None:
    """`mkdir -p`, the mode whatever the umask. What is there already stays as it is."""
    if not path.is_dir():
        _make(path.parent, mode)
        path.mkdir(exist_ok=True)
        path.chmod(mode)


def check_owner(path: Path, user: SystemUser | None) -> None:
    """Refuse what a server of another user made: after a change from root to a normal user, or back."""
    if path.stat().st_uid != (user.uid if user else os.geteuid()):
        raise Misconfigured(
            f"{path} belongs to another user, because spotisync was started by {'a normal user' if user else 'root'} "
            "before: start it so again, or set another SPOTISYNC_DATA_DIR"
        )


def make_private(path: Path, user: SystemUser | None) -> Path:
    """Make a directory for this user alone. In /tmp anybody may have put one there before us: that is refused."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    ours = {os.geteuid(), user.uid} if user else {os.geteuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
        raise Misconfigured(
            f"somebody else made {path}, it can't hold the sockets or files of our servers: "
            "remove it, or set another SPOTISYNC_DATA_DIR"
        )
    if user:
        os.chown(path, user.uid, user.gid)
        _check_way(path, user)
    path.chmod(0o700)
    return path


def _check_way(path: Path, user: SystemUser) -> None:
    if not user.may_enter(path):
        raise Misconfigured(
            f"started by root, the servers run as `nobody`, who can't enter {path}: "
            "set SPOTISYNC_DATA_DIR to a place like /var/lib/spotisync, or start spotisync as a normal user"
        )
