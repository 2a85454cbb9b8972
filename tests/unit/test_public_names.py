"""Names that scripts, services and operators rely on: commands, options, variables, HTTP paths.

A change here needs a line in the changelog. The tables are in `tests/integration/store/test_schema.py`, the tasks in
`test_structure.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from spotisync.cli.app import app
from spotisync.settings import Settings
from spotisync.web import create_app

COMMANDS = {
    "demo": "--exit",
    "up": "",
    "login": "--account --client-id --client-secret-stdin --default-app --developer --no-browser --port --timeout",
    "status": "--account --json --watch",
    "history": "--account --json --limit",
    "cancel": "",
    "resume": "--json --wait",
    "web": "--host --port",
    "notify": "--test",
    "import": "--account --json",
    "schedule": "--account --json",
    "export": "--account --format --formulas --json --only --playlist --removed",
    "report": "--account --json --top",
    "backup": "",
    "restore": "--skip-others",
    "psql": "",
    "doctor": "--accept-drift --json --offline",
    "simulator": "",
    "accounts": "",
    "accounts list": "--json",
    "accounts add": "--authorised-at --client-id --client-secret-stdin --default-app --developer --refresh-token-stdin",
    "accounts enable": "",
    "accounts disable": "",
    "accounts remove": "--yes",
    "accounts confirm-removal": "--json --yes",
    "sync": "",
    "sync full": "--account --idempotency-key --json --wait",
    "sync incremental": "--account --idempotency-key --json --wait",
    "budget": "--account --json",
    "vanished": "--account --json",
    "limits": "",
    "limits list": "--json",
    "limits set": "--account --for",
    "limits clear": "--account",
    "db": "",
    "db upgrade": "",
    "db downgrade": "",
    "db current": "",
    "db reader": "--drop --password-stdin",
}
VARIABLES = """
    OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS OTEL_EXPORTER_OTLP_PROTOCOL
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT OTEL_EXPORTER_OTLP_TRACES_PROTOCOL OTEL_PYTHON_DISABLED_INSTRUMENTATIONS
    OTEL_RESOURCE_ATTRIBUTES OTEL_SDK_DISABLED OTEL_SERVICE_NAME OTEL_TRACES_EXPORTER OTEL_TRACES_SAMPLER
    OTEL_TRACES_SAMPLER_ARG SPOTIPY_CLIENT_ID SPOTIPY_CLIENT_SECRET SPOTIPY_REDIRECT_URI SPOTISYNC_ALBUMS_BATCH_SIZE
    SPOTISYNC_ALLOWED_HOSTS SPOTISYNC_API_CONCURRENCY SPOTISYNC_API_RATE SPOTISYNC_API_TIMEOUT SPOTISYNC_API_TOKEN
    SPOTISYNC_ARTISTS_BATCH_SIZE SPOTISYNC_BROKER_URL SPOTISYNC_BUDGET_ALBUMS SPOTISYNC_BUDGET_ARTISTS
    SPOTISYNC_BUDGET_LIBRARY SPOTISYNC_BUDGET_PLAYER SPOTISYNC_BUDGET_PLAYLISTS SPOTISYNC_DATABASE_POOLER
    SPOTISYNC_DATABASE_URL SPOTISYNC_DATA_DIR SPOTISYNC_DEVELOPER SPOTISYNC_ENRICHMENT SPOTISYNC_ENRICHMENT_BUDGET
    SPOTISYNC_FLOWER_AUTH SPOTISYNC_FLOWER_PORT SPOTISYNC_FULL_SYNC_SCHEDULE SPOTISYNC_HOST
    SPOTISYNC_INCREMENTAL_INTERVAL SPOTISYNC_LEASE_SECONDS SPOTISYNC_LOG_FORMAT SPOTISYNC_LOG_LEVEL
    SPOTISYNC_MAX_COUNTDOWN SPOTISYNC_MIGRATION_DATABASE_URL SPOTISYNC_NOTIFY SPOTISYNC_NOTIFY_AFTER
    SPOTISYNC_PLAYBACK_INTERVAL SPOTISYNC_PLAYLISTS_BATCH_SIZE SPOTISYNC_PODCASTS SPOTISYNC_PORT
    SPOTISYNC_REFRESH_DAYS
    SPOTISYNC_RESULT_BACKEND SPOTISYNC_RETENTION_DAYS SPOTISYNC_ROOT_PATH SPOTISYNC_RUN_RETENTION_DAYS
    SPOTISYNC_SECRET_KEY SPOTISYNC_SIGN_OF_LIFE SPOTISYNC_SPOTIFY_ACCOUNTS_URL SPOTISYNC_SPOTIFY_API_URL
    SPOTISYNC_SWEEP_INTERVAL SPOTISYNC_TIMEZONE SPOTISYNC_TRACKS_BATCH_SIZE SPOTISYNC_TRUSTED_PROXIES
"""
ROUTES = {
    "GET /",
    "GET /accounts",
    "GET /accounts/callback",
    "POST /accounts/confirm-removal",
    "GET /accounts/connect",
    "POST /accounts/connect",
    "POST /accounts/disable",
    "POST /accounts/enable",
    "GET /accounts/remove",
    "POST /accounts/remove",
    "POST /api/accounts/{account}/confirm-removal",
    "POST /api/sync",
    "GET /api/sync/events",
    "GET /api/sync/history",
    "GET /api/sync/status",
    "GET /api/sync/{sync_id}",
    "POST /api/sync/{sync_id}/cancel",
    "POST /api/sync/{sync_id}/resume",
    "GET /api/budget",
    "GET /budget",
    "GET /changes",
    "GET /stats",
    "GET /stats/library",
    "GET /vanished",
    "GET /tracks/{id_}",
    "GET /albums/{id_}",
    "GET /artists/{id_}",
    "GET /playlists/{id_}",
    "POST /budget/block",
    "POST /budget/clear",
    "GET /docs",
    "GET /events/{kind}",
    "GET /fragments/history",
    "GET /fragments/status",
    "GET /healthz",
    "GET /library",
    "GET /library/facets",
    "GET /library/more",
    "GET /login",
    "POST /login",
    "POST /logout",
    "GET /metrics",
    "GET /library/playlists",
    "GET /openapi.json",
    "GET /readyz",
    "POST /runs",
    "GET /runs/{sync_id}",
    "GET /runs/{sync_id}/fragment",
    "POST /runs/{sync_id}/{action}",
}


def options(group: typer.core.TyperGroup, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, command in group.commands.items():
        names = sorted(name for param in command.params for name in param.opts if name.startswith("--"))
        found[f"{prefix}{name}"] = " ".join(names)
        if isinstance(command, typer.core.TyperGroup):
            found |= options(command, f"{prefix}{name} ")
    return found


def list_routes(routes: Any) -> Iterator[Any]:
    """All routes. Recent versions of FastAPI keep an included router as one entry."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from list_routes(inner.routes)


def test_commands_and_options_keep_their_names() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    assert options(root) == COMMANDS
    assert {"--demo", "--version"} <= {name for param in root.params for name in param.opts}


def test_variables_keep_their_names() -> None:
    names = {str(each.validation_alias or f"SPOTISYNC_{name.upper()}") for name, each in Settings.model_fields.items()}
    assert names == set(VARIABLES.split())


def test_http_paths_and_methods_keep_their_names(tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None,
        client_id="simulated",
        secret_key="c3BvdGlzeW5jLXRlc3RzLW9ubHktMzItYnl0ZXMtISE=",
        database_url="postgresql://localhost/none",
        broker_url="redis://localhost",
        data_dir=tmp_path,
    )
    found = [route for route in list_routes(create_app(settings).routes) if getattr(route, "methods", None)]
    assert {" ".join([*sorted(route.methods - {"HEAD"}), route.path]) for route in found} == ROUTES
