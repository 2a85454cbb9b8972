"""The user that the servers run as, and directories that only this user can enter."""

import fcntl
import grp
import hashlib
import os
import pwd
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spotisync.errors import Fatal, Misconfigured

# Used by no user, service or container, according to systemd's list of numbers.
OWN_UIDS: Final = range(60_800, 61_184)
SERVER_DIRECTORIES: Final = ("postgres", "valkey")
# Names that most systems have, and hardly any has processes of.
IDLE_USERS: Final = ("games", "news", "uucp", "lp", "nobody")


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


def server_user(data_dir: Path) -> SystemUser | None:
    """Return the user of the servers: None, the current user, or for root one that no other process runs as.

    PostgreSQL refuses to run as root. `nobody`, if the system allows no other user, has other processes.
    """
    if os.geteuid() != 0:
        return None
    owners = [path.stat().st_uid for name in SERVER_DIRECTORIES if (path := data_dir / name).is_dir()]
    first = hashlib.sha256(os.fsencode(data_dir.absolute())).digest()[0]
    free = (uid for uid in (*OWN_UIDS[first:], *OWN_UIDS[:first]) if not _is_named(uid))
    uid = next((owner for owner in owners if owner in OWN_UIDS), next(free, None))
    return SystemUser(uid, uid) if uid is not None and _is_mapped(uid) else _nobody()


def is_shared(user: SystemUser | None) -> bool:
    """Tell whether this user of the servers may have other processes, which can reach the servers."""
    return user is not None and user.uid not in OWN_UIDS


def user_with_name(user: SystemUser | None) -> SystemUser | None:
    """Return a user for programs of PostgreSQL that refuse to run as one without a name."""
    if user is None or _is_named(user.uid):
        return user
    return next((found for found in _idle_users() if _is_mapped(found.uid)), user)


def _idle_users() -> list[SystemUser]:
    return [found for name in IDLE_USERS if (found := _find(name))]


def _nobody() -> SystemUser:
    if found := _find("nobody"):
        return found
    raise Misconfigured(
        "PostgreSQL can't run as root, and this system allows no other user: start spotisync as a normal user"
    )


def _find(name: str) -> SystemUser | None:
    with suppress(KeyError):
        found = pwd.getpwnam(name)
        return SystemUser(found.pw_uid, found.pw_gid)
    return None


def _is_named(uid: int) -> bool:
    """Whether a user or a group of this system has the number."""
    for look_up in (pwd.getpwuid, grp.getgrgid):
        with suppress(KeyError):
            look_up(uid)
            return True
    return False


def _is_mapped(uid: int) -> bool:
    """Whether the user and the group exist in this user namespace. Containers can have few."""
    for kind in ("uid", "gid"):
        with suppress(FileNotFoundError):  # not on macOS
            spans = [line.split() for line in Path(f"/proc/self/{kind}_map").read_text().splitlines()]
            if not any(int(start) <= uid < int(start) + int(count) for start, _, count in spans):
                return False
    return True


def prepare_data_dir(path: Path) -> Path:
    """Create the data dir, or check that the existing one can be used."""
    is_root = os.geteuid() == 0
    try:
        _create(path, 0o711 if is_root else 0o700)
    except OSError as error:
        raise Misconfigured(f"can't create the data dir {path} ({error.strerror}): set SPOTISYNC_DATA_DIR") from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise Misconfigured(f"this user can't write to the data dir {path}: set SPOTISYNC_DATA_DIR")
    if user := server_user(path):
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


def find_lock_holder(data_dir: Path) -> str | None:
    """Return the process that has locked the data dir, if any. Creates nothing."""
    try:
        with (data_dir / "lock").open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return (data_dir / "lock").read_text(encoding="utf-8").strip() or "another process"
    except OSError:
        pass
    return None


def _create(path: Path, mode: int) -> None:
    """Create the directory and its parents with this mode, regardless of the umask. Existing ones do not change."""
    if not path.is_dir():
        _create(path.parent, mode)
        path.mkdir(exist_ok=True)
        path.chmod(mode)


def make_private(path: Path, user: SystemUser | None) -> Path:
    """Create a directory for this user only. Raises `Misconfigured` if another user created it, as possible in /tmp."""
    path.mkdir(mode=0o700, exist_ok=True)
    if not stat.S_ISDIR(path.lstat().st_mode) or not _is_ours(path, user):
        raise Misconfigured(
            f"another user created {path}, so the servers can't keep their files in it: "
            "remove it, or set another SPOTISYNC_DATA_DIR"
        )
    return take_over(path, user)


def take_over(path: Path, user: SystemUser | None) -> Path:
    """Give a directory to the user of the servers, unless another user created it. The caller holds the lock."""
    check_owner(path, user)
    if user:
        give(path, user)
        _check_access(path, user)
    path.chmod(0o700)
    return path


def check_owner(path: Path, user: SystemUser | None) -> None:
    """Raise `Misconfigured` if this belongs to another user, after a change from root to a normal user or back."""
    if not _is_ours(path, user):
        raise Misconfigured(
            f"{path} belongs to another user, because spotisync was started by {'a normal user' if user else 'root'} "
            "before: start it as that user, or set another SPOTISYNC_DATA_DIR"
        )


def _is_ours(path: Path, user: SystemUser | None) -> bool:
    return path.lstat().st_uid in ({*_former_uids(), user.uid} if user else {os.geteuid()})


def _former_uids() -> set[int]:
    """Earlier versions ran the servers as `nobody`; a directory of root is one whose change was interrupted."""
    return {0, *(each.uid for each in _idle_users())}


def give(path: Path, user: SystemUser, former: int | None = None) -> None:
    """Change the owner of a directory and of what is in it, if they are of a former user.

    Until its end the directory is root's, so that no process of a former user can put another user's file there, and
    that the next start repeats an interrupted change. Each directory changes its owner before it is listed.
    """
    givers = {*_former_uids(), *([] if former is None else [former])} - {user.uid}
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(top).st_uid not in givers:
            return
        os.fchown(top, 0, 0)
        os.fchmod(top, 0o700)
        for _, directories, files, descriptor in os.fwalk(".", dir_fd=top):
            for name in (*directories, *files):
                if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid in givers:
                    os.chown(name, user.uid, user.gid, dir_fd=descriptor, follow_symlinks=False)
        os.fchown(top, user.uid, user.gid)
    finally:
        os.close(top)


def _check_access(path: Path, user: SystemUser) -> None:
    if not user.may_enter(path):
        raise Misconfigured(
            f"started by root, the servers run as another user, which can't enter {path}: "
            "set SPOTISYNC_DATA_DIR to a directory like /var/lib/spotisync, or start spotisync as a normal user"
        )
