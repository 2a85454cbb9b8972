"""The API as CONTRACT 5 has it."""

from tests.web.conftest import *
def test_x(client, store):
    r = client.get("/api/sync/status"); print(r.status_code, r.json()["message"], r.headers)
    r = client.post("/api/sync", json={"sync_type":"full"}); print(r.status_code, r.json(), r.headers)
    r = client.get("/api/sync/history"); print(r.status_code, r.json())
    r = client.get("/docs"); print(r.status_code, len(r.text), r.headers)
    r = client.get("/openapi.json"); print(r.status_code, len(r.text))
    r = client.get("/nope"); print(r.status_code, r.json())
    r = client.get("/api/sync/99"); print(r.status_code, r.json())
    r = client.get("/login"); print(r.status_code)
    assert 0
