"""Commands show times in the zone of SPOTISYNC_TIMEZONE, not in that of the machine."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cryptography.fernet import Fernet

from tests.support.store import Store
from tests.system.command_line import InProcess, bare_environment


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_times_are_those_of_the_zone_of_the_settings(
    tmp_path: Path, database_url: str, store: Store, zone: str
) -> None:
    spotisync = InProcess(
        bare_environment(
            SPOTISYNC_DATA_DIR=str(tmp_path),
            SPOTISYNC_DATABASE_URL=database_url,
            SPOTISYNC_SECRET_KEY=Fernet.generate_key().decode(),
            SPOTISYNC_TIMEZONE=zone,
            SPOTIPY_CLIENT_ID="some",
        )
    )
    until = datetime.now(ZoneInfo(zone)) + timedelta(hours=2)
    for said in (spotisync("limits", "set", "library", "--for", "2h").out, spotisync("limits", "list").out):
        (shown,) = re.findall(r"blocked until (\S+ \S+):", said)
        shown_at = datetime.fromisoformat(shown).replace(tzinfo=ZoneInfo(zone))
        assert abs(shown_at - until) < timedelta(minutes=1)
    store.sql("UPDATE accounts SET authorised_at = '2026-11-20 10:30+00'")
    assert ("2026-11-21" in spotisync("accounts", "list").out) == (zone == "Pacific/Kiritimati")
