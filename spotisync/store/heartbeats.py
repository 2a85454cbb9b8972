"""Signs of life of what runs by the clock: without them nobody could tell a calm schedule from none."""

from datetime import datetime

from sqlalchemy import Connection, text

# A sign every few seconds says as much as one at each sweep.
EVERY_SECONDS = 3


def record_heartbeat(connection: Connection, name: str) -> None:
    connection.execute(
        text(
            f"""INSERT INTO heartbeats AS h (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET beat_at = now()
            WHERE h.beat_at < now() - interval '{EVERY_SECONDS} seconds'"""
        ),
        {"name": name},
    )


def last_heartbeat(connection: Connection, name: str) -> datetime | None:
    found: datetime | None = connection.execute(
        text("SELECT beat_at FROM heartbeats WHERE name = :name"), {"name": name}
    ).scalar_one_or_none()
    return found
