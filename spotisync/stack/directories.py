"""The user that the servers run as, and directories that only this user can enter."""

import fcntl
import os
import pwd
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spotisync.errors import Fatal, Misconfigured


@dataclass(frozen=True)
class SystemUser:
    uid: int
    gid: int

    def may_enter(self, directory: Path) -> bool:
        """Tell whether this user can reach the directory.

        `os.access` answers for the current user only, so this reads the mode bits.
        """
        path = directory.resolve()
        return all(self._has(each.stat(), stat.S_IXUSR) for each in (path, *path.parents))

    def may_run(self, program: Path) -> bool:
        return self.may_enter(program.parent) and self._has(program.stat(), stat.S_IRUSR | stat.S_IXUSR)

    def _has(self, status: os.stat_result, bits: int) -> bool:
        if status.st_uid == self.uid:
            return status.st_mode & bits == bits
        shift = 3 if status.st_gid == self.gid else 6
        return status.st_mode & (bits >> shift) == bits >> shift


def server_user() -> SystemUser | None:
    """Return `nobody` for root, because PostgreSQL refuses to run as root; else None, the current user."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise Misconfigured(
            "PostgreSQL can't run as root, and this system has no user `nobody`: start spotisync as a normal user"
        ) from None
    return SystemUser(nobody.pw_uid, nobody.pw_gid)


def prepare_data_dir(path: Path) -> Path:
    """Create the data dir, or check that the existing one can be used."""
    user = server_user()
    try:
        _create(path, 0o711 if user else 0o700)
    except OSError as error:
        raise Misconfigured(f"can't create the data dir {path} ({error.strerror}): set SPOTISYNC_DATA_DIR") from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise Misconfigured(f"this user can't write to the data dir {path}: set SPOTISYNC_DATA_DIR")
    if user:
        _check_access(path, user)
    return path


@contextmanager
def lock_data_dir(data_dir: Path) -> Iterator[None]:
    """Lock the data dir for one `up` or `demo`, until this process ends, even by kill -9.

    Raises `Fatal`, with the holder's pid, if another process has the lock.
    """
    with (prepare_data_dir(data_dir) / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise Fatal(f"spotisync is already running on {data_dir}, as {holder}: stop that process first") from None
        file.truncate(0)
        file.write(f"pid {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S %Z')}\n")
        file.flush()
        yield


def _create(path: Path, mode: int) -> None:
    """Create the directory and its parents with this mode, regardless of the umask. Existing ones do not change."""
    if not path.is_dir():
        _create(path.parent, mode)
        path.mkdir(exist_ok=True)
        path.chmod(mode)


def check_owner(path: Path, user: SystemUser | None) -> None:
    """Raise `Misconfigured` if this belongs to another user, after a change from root to a normal user or back."""
    if path.stat().st_uid != (user.uid if user else os.geteuid()):
        raise Misconfigured(
            f"{path} belongs to another user, because spotisync was started by {'a normal user' if user else 'root'} "
            "before: start it as that user, or set another SPOTISYNC_DATA_DIR"
        )


def make_private(path: Path, user: SystemUser | None) -> Path:
    """Create a directory for this user only. Raises `Misconfigured` if another user created it, as possible in /tmp."""
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    owners = {os.geteuid(), user.uid} if user else {os.geteuid()}
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in owners:
        raise Misconfigured(
            f"another user created {path}, so the servers can't keep their files in it: "
            "remove it, or set another SPOTISYNC_DATA_DIR"
        )
    if user:
        os.chown(path, user.uid, user.gid)
        _check_access(path, user)
    path.chmod(0o700)
    return path


def _check_access(path: Path, user: SystemUser) -> None:
    if not user.may_enter(path):
        raise Misconfigured(
            f"started by root, the servers run as `nobody`, which can't enter {path}: "
            "set SPOTISYNC_DATA_DIR to a directory like /var/lib/spotisync, or start spotisync as a normal user"
        )
