"""Rules that no linter checks: short functions, unique names, thin tasks, public names, the contents of the wheel."""

import ast
import inspect
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spotisync.celery import app

ROOT = Path(__file__).parents[2]
LONGEST = 40
LONGEST_TASK = 10
LONGEST_TEST_NAME = 70
# The tasks that other services send, and their arguments with defaults.
PUBLIC_TASKS: dict[str, dict[str, Any]] = {
    "spotisync.full_sync": {"account": None, "idempotency_key": None},
    "spotisync.incremental_sync": {"account": None, "idempotency_key": None},
    "spotisync.resume_sync": {"sync_id": inspect.Parameter.empty},
    "spotisync.cancel_sync": {"sync_id": inspect.Parameter.empty},
    "spotisync.enrich": {},
    "spotisync.track_playback": {"account": None},
}
FORBIDDEN_WORDS = ("Manager", "Helper", "Service", "Processor", "Utils")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    return [path for path in sorted((ROOT / "spotisync").rglob("*.py")) if "__pycache__" not in path.parts]


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Function))


def classes(path: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))


def length(function: Function) -> int:
    assert function.end_lineno
    return function.end_lineno - function.lineno + 1


def statements(function: Function) -> int:
    """Count the lines of the body without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    assert body[-1].end_lineno
    return body[-1].end_lineno - body[0].lineno + 1


def test_functions_have_at_most_forty_lines() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{function.name}": length(function)
        for path in sources()
        for function in functions(path)
        if length(function) > LONGEST
    }
    assert long == {}


def test_the_median_function_is_short() -> None:
    lengths = sorted(length(function) for path in sources() for function in functions(path))
    assert len(lengths) > 100
    assert lengths[len(lengths) // 2] <= 8


def test_tasks_only_delegate() -> None:
    tasks = [each for each in functions(ROOT / "spotisync/tasks.py") if each.decorator_list]
    assert {f"spotisync.{task.name}" for task in tasks} == set(registered())
    assert [task.name for task in tasks if statements(task) > LONGEST_TASK] == []


def test_names_avoid_vague_words() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{each.name}"
        for path in sources()
        for each in classes(path)
        if each.name.endswith(FORBIDDEN_WORDS)
    ]
    assert named == []
    assert [path for path in sources() if path.stem in {"utils", "helpers", "common", "misc"}] == []


def test_class_names_are_unique() -> None:
    defined = Counter(each.name for path in sources() for each in classes(path))
    assert [name for name, times in defined.items() if times > 1] == []


def test_test_names_have_at_most_seventy_characters() -> None:
    names = [function.name for path in (ROOT / "tests").rglob("test_*.py") for function in functions(path)]
    assert [name for name in names if name.startswith("test_") and len(name) > LONGEST_TEST_NAME] == []


def test_modules_named_in_contributing_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    first_column = " ".join(re.findall(r"^\| (`[^|]*)\|", text, re.MULTILINE))
    named = {*re.findall(r"`([\w/]+)\.py`", text), *re.findall(r"`([\w/]+)`", first_column)}
    assert named
    assert (
        sorted(name for name in named if not is_module(ROOT / name) and not is_module(ROOT / "spotisync" / name)) == []
    )


def is_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()


# ---- SQL and transactions -------------------------------------------------------------------------------------------


SQL = re.compile(r"\s*\(?(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH)\s")
SQL_WRITE = re.compile(r"\b(INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b")
BEGIN = re.compile(r"database\.(begin|transact)\(")
STORE_CALL = re.compile(r"\b(\w+)\.(\w+)\(connection\b")
READ_NAME = re.compile(r"(check|count|find|forecast|get|list|read|run|search)_")
# These open transactions to read. `cli/db.py` also creates and drops the database role for dashboards.
READERS = {"cli", "web", "result_backend"}


def package(path: Path) -> str:
    return path.relative_to(ROOT / "spotisync").parts[0].removesuffix(".py")


def strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_only_store_and_the_read_model_contain_sql() -> None:
    found = {(package(path), value) for path in sources() for value in strings(path) if SQL.match(value)}
    assert {name for name, _ in found} == {"store", "status"}
    assert [value for name, value in found if name == "status" and SQL_WRITE.search(value)] == []


def test_only_sync_opens_transactions_that_write() -> None:
    opened = {(package(path), call) for path in sources() for call in BEGIN.findall(path.read_text())}
    assert opened == {("sync", "begin"), ("sync", "transact"), *((reader, "begin") for reader in READERS)}
    store = {path.stem for path in (ROOT / "spotisync/store").glob("*.py")}
    called = {
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for path in sources()
        if package(path) in READERS and path.name != "db.py"
        for module, name in STORE_CALL.findall(path.read_text())
        if module in store and not READ_NAME.match(name)
    }
    assert called == set()


# ---- public names ---------------------------------------------------------------------------------------------------


def registered() -> dict[str, Any]:
    app.loader.import_default_modules()
    return {name: task for name, task in app.tasks.items() if name.startswith("spotisync.")}


def test_public_tasks_are_registered_under_their_names() -> None:
    assert set(PUBLIC_TASKS) <= set(registered())


@pytest.mark.parametrize("name", PUBLIC_TASKS)
def test_public_tasks_accept_only_the_documented_keyword_arguments(name: str) -> None:
    parameters = inspect.signature(registered()[name].run).parameters
    assert {key: parameter.default for key, parameter in parameters.items()} == PUBLIC_TASKS[name]
    assert {parameter.kind for parameter in parameters.values()} <= {inspect.Parameter.KEYWORD_ONLY}


def test_every_task_uses_json_and_acknowledges_late() -> None:
    for task in registered().values():
        assert task.serializer == "json"
        assert task.acks_late
        assert task.reject_on_worker_lost
    assert app.conf.accept_content == ["json"]


# ---- the wheel ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (made,) = directory.glob("*.whl")
    return made


@pytest.mark.xdist_group("wheel")
def test_the_wheel_contains_only_the_package_with_its_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"spotisync"}
    data = "web/templates/base.html", "web/static/spotisync.css", "web/static/vendor/htmx-2.0.11.min.js"
    for name in ("celeryconfig.py", "migrations/env.py", "migrations/versions/0001_the_tables.py", "py.typed", *data):
        assert f"spotisync/{name}" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


@pytest.mark.xdist_group("wheel")
def test_an_installed_wheel_finds_its_celeryconfig_and_migrations(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "celeryconfig.py").write_text("raise RuntimeError('of another program')")
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import spotisync.celery
from spotisync.settings import bundled_path
from spotisync.store import migrate
from alembic.script import ScriptDirectory
assert spotisync.celery.__file__.startswith(sys.argv[1]), spotisync.celery.__file__
assert spotisync.celery.app.conf.task_default_queue == "spotisync.sync"
print(bundled_path("celeryconfig.py"))
print(bundled_path("migrations"))
print(ScriptDirectory.from_config(migrate._config()).get_current_head())
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "site")], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    config, migrations, head = ran.stdout.split()
    assert config == f"{tmp_path}/site/spotisync/celeryconfig.py"
    assert migrations == f"{tmp_path}/site/spotisync/migrations"
    assert head
