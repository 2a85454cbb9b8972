"""Heartbeats of periodic tasks: they distinguish a schedule without work from one that is not running."""

from datetime import datetime

from sqlalchemy import Connection, text

# The minimum time between two writes of one heartbeat.
INTERVAL_SECONDS = 3


def record_heartbeat(connection: Connection, name: str) -> None:
    connection.execute(
        text(
            f"""INSERT INTO heartbeats AS h (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET beat_at = now()
            WHERE h.beat_at < now() - interval '{INTERVAL_SECONDS} seconds'"""
        ),
        {"name": name},
    )


def get_last_heartbeat(connection: Connection, name: str) -> datetime | None:
    found: datetime | None = connection.execute(
        text("SELECT beat_at FROM heartbeats WHERE name = :name"), {"name": name}
    ).scalar_one_or_none()
    return found
