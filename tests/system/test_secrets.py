"""Tokens are encrypted at rest and appear in no log, message, key or result."""

from collections.abc import Callable

import pytest
import redis

from tests.system.programs import Deployment

Deploy = Callable[..., Deployment]


@pytest.mark.slow
def test_tokens_appear_only_where_they_belong(deploy: Deploy, broker_url: str) -> None:
    deployment = deploy(120, log_level="DEBUG", client_secret="a-very-secret-client-secret")
    control = deployment.simulator.control
    control.settings(token_life=1.0, refresh_reply="rotate")
    tokens = {deployment.simulator.refresh_token()}
    account = deployment.account()
    deployment.beat()
    deployment.worker()
    control.add_fault(kind="status", status=500, body="json", path="/v1/albums")
    result = deployment.foreign.send_task(
        "spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync"
    )
    result.get(timeout=60)
    tokens |= set(deployment.simulator.app.logins._access)
    control.revoke(account.name, access=True)
    failed = deployment.foreign.send_task(
        "spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync"
    )
    failed.get(timeout=60, propagate=False)
    logins = deployment.simulator.app.logins
    secrets = {"a-very-secret-client-secret", *logins._grants, *logins._access, *tokens}
    assert len(secrets) > 3
    places = {
        "logs": deployment.logs(),
        "tables": _tables(deployment),
        "broker": _broker(broker_url),
        "request log": str(control.requests()),
    }
    found = [(place, secret) for place, words in places.items() for secret in secrets if secret in words]
    assert not found


def test_select_shows_encrypted_tokens(deploy: Deploy) -> None:
    deployment = deploy(120)
    token = deployment.simulator.refresh_token()
    deployment.account()
    row = deployment.sql("SELECT refresh_token, access_token FROM accounts")[0]
    assert row.refresh_token.startswith("gAAAA")
    assert row.access_token.startswith("gAAAA")
    assert token not in row.refresh_token
    assert deployment.context.vault.decrypt(row.refresh_token) == token


def _tables(deployment: Deployment) -> str:
    names = [row[0] for row in deployment.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    return "\n".join(str(deployment.sql(f"SELECT t::text FROM {name} t")) for name in names)


def _broker(url: str) -> str:
    path = url.removeprefix("redis+socket://").partition("?")[0]
    words = []
    with redis.Redis(unix_socket_path=path, db=int(url.rpartition("=")[2])) as client:
        for key in client.keys():  # noqa: SIM118 (not a dict)
            words += [key, client.dump(key)]
    return str(words)
