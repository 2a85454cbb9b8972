"""The accounts service: refreshing, codes, PKCE, revoking; and bearer tokens."""

import base64
import hashlib
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from spotisync.simulator import Server, start
from spotisync.simulator.http.logins import first_refresh_token

from .reader import Reader

REDIRECT = "http://127.0.0.1:9/callback"


def token(server: Server, **form: Any) -> requests.Response:
    return requests.post(f"{server.url}/api/token", data={"client_id": "app", **form}, timeout=60)


def refresh(server: Server, refresh_token: str) -> requests.Response:
    return token(server, grant_type="refresh_token", refresh_token=refresh_token)


def authorize(server: Server, user: str = "user01", **query: Any) -> requests.Response:
    asked = {"client_id": "app", "response_type": "code", "redirect_uri": REDIRECT, "state": "s1"}
    asked |= {"as": user, **query} if user else query
    return requests.get(f"{server.url}/authorize", params=asked, timeout=60, allow_redirects=False)


def sent_back(reply: requests.Response) -> dict[str, str]:
    assert reply.status_code == 302, reply.text
    assert reply.headers["Location"].startswith(REDIRECT + "?")
    return {key: values[0] for key, values in parse_qs(urlsplit(reply.headers["Location"]).query).items()}


def user(server: Server, access_token: str) -> str:
    with Reader(server.url, access_token) as reader:
        return str(reader.json("/me")["id"])


def test_a_refresh_returns_an_access_token_of_the_account(server: Server) -> None:
    answer = refresh(server, server.refresh_token("user02")).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    assert "user-library-read" in answer["scope"].split()
    assert "refresh_token" not in answer
    assert user(server, answer["access_token"]) == "user02"


def test_the_seed_determines_the_first_refresh_tokens(server: Server) -> None:
    first = server.control.info()["accounts"][0]
    assert first == {"id": "user01", "refresh_token": first_refresh_token(server.world, "user01")}


def test_accepts_basic_authentication(server: Server) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": server.refresh_token()}
    reply = requests.post(f"{server.url}/api/token", data=form, auth=("app", "secret"), timeout=60)
    assert reply.status_code == 200
    nobody = requests.post(f"{server.url}/api/token", data=form, timeout=60)
    assert (nobody.status_code, nobody.json()["error"]) == (400, "invalid_client")


def test_serves_only_the_configured_client(server: Server) -> None:
    server.control.settings(client_id="mine", client_secret="right")
    form = {"grant_type": "refresh_token", "refresh_token": server.refresh_token()}
    statuses = [
        requests.post(f"{server.url}/api/token", data=form, auth=pair, timeout=60).status_code
        for pair in (("mine", "right"), ("mine", "wrong"), ("other", "right"))
    ]
    assert statuses == [200, 400, 400]


def test_rejects_an_unknown_refresh_token_or_grant(server: Server) -> None:
    reply = refresh(server, "AQunknown")
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")
    assert token(server, grant_type="refresh_token").json()["error"] == "invalid_request"
    assert token(server, grant_type="password").json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_revoking_consent_ends_the_tokens(server: Server, how: str) -> None:
    old, access = server.refresh_token(), refresh(server, server.refresh_token()).json()["access_token"]
    assert server.control.revoke("user01", how=how) == 1
    reply = refresh(server, old)
    assert reply.status_code == 400
    assert reply.json() == {"error": "invalid_grant", "error_description": f"Refresh token {how}"}
    assert user(server, access) == "user01"
    server.control.revoke("user01", access=True)
    with Reader(server.url, access) as reader:
        assert reader.get("/me").status_code == 401


def test_rotation_invalidates_the_old_refresh_token(server: Server) -> None:
    server.control.settings(refresh_reply="rotate")
    old = server.refresh_token()
    new = refresh(server, old).json()["refresh_token"]
    assert new != old
    assert refresh(server, old).json()["error"] == "invalid_grant"
    assert refresh(server, new).status_code == 200


def test_a_refresh_can_return_the_same_token(server: Server) -> None:
    server.control.settings(refresh_reply="same")
    assert refresh(server, server.refresh_token()).json()["refresh_token"] == server.refresh_token()


def test_consent_ends_after_half_a_year_despite_refreshes(server: Server) -> None:
    old = server.refresh_token()
    server.control.settings(clock_offset=170 * 86_400)
    assert refresh(server, old).status_code == 200
    server.control.settings(clock_offset=181 * 86_400)
    assert refresh(server, old).json()["error_description"] == "Refresh token expired"


def test_logs_in_with_a_code(server: Server) -> None:
    back = sent_back(authorize(server, "user02", scope="user-library-read"))
    assert back["state"] == "s1"
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": REDIRECT}
    answer = token(server, **form).json()
    assert answer["scope"] == "user-library-read"
    assert user(server, answer["access_token"]) == "user02"
    assert refresh(server, answer["refresh_token"]).status_code == 200
    assert token(server, **form).json()["error"] == "invalid_grant", "a code is valid once"


def test_a_missing_scope_is_a_403(server: Server) -> None:
    back = sent_back(authorize(server, scope="user-library-read"))
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": REDIRECT}
    with Reader(server.url, token(server, **form).json()["access_token"]) as reader:
        assert reader.get("/me/tracks").status_code == 200
        assert reader.get("/me/playlists").status_code == 403


def test_verifies_the_pkce_challenge(server: Server) -> None:
    verifier = "v" * 60
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    for given, status in ((verifier, 200), ("wrong", 400)):
        back = sent_back(authorize(server, code_challenge=challenge, code_challenge_method="S256"))
        form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": REDIRECT}
        assert token(server, **form, code_verifier=given).status_code == status


def test_the_redirect_uri_must_be_unchanged_and_safe(server: Server) -> None:
    back = sent_back(authorize(server))
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": "http://127.0.0.1:9/other"}
    assert token(server, **form).json()["error_description"] == "Invalid redirect URI"
    assert authorize(server, redirect_uri="http://localhost:9/callback").status_code == 400
    assert authorize(server, redirect_uri="http://example.com/callback").status_code == 400


def test_a_code_expires(server: Server) -> None:
    back = sent_back(authorize(server))
    server.control.settings(clock_offset=601)
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": REDIRECT}
    assert token(server, **form).json()["error_description"] == "Authorization code expired"


def test_the_seed_determines_codes() -> None:
    codes = []
    for seed in (1, 1, 2):
        with start("tiny", seed=seed) as server:
            codes.append([sent_back(authorize(server))["code"] for _ in range(2)])
    assert codes[0] == codes[1] != codes[2]
    assert codes[0][0] != codes[0][1]


def test_serves_only_the_registered_redirect_uri(server: Server) -> None:
    server.control.settings(redirect_uri=REDIRECT)
    assert authorize(server).status_code == 302
    for uri in ("http://127.0.0.1:10/callback", f"{REDIRECT}/", "http://[::1]:9/callback", "http://127.0.0.1:x/", "cb"):
        assert authorize(server, redirect_uri=uri).text == "INVALID_CLIENT: Invalid redirect URI"
    server.control.settings(redirect_uri="http://127.0.0.1/callback")
    assert authorize(server).status_code == 302, "a URI without a port allows every port"
    assert authorize(server, redirect_uri="http://127.0.0.1:9/other").status_code == 400
    server.control.settings(client_id="other")
    assert authorize(server).text == "INVALID_CLIENT: Invalid client"


def test_the_login_page_lets_the_user_choose_an_account(server: Server) -> None:
    page = authorize(server, "", scope="user-library-read", state='"><s>')
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<li>user-library-read</li>" in page.text
    assert "<s>" not in page.text
    links = {id_: unescape(link) for id_, link in re.findall(r'id="(\w+)" href="([^"]+)"', page.text)}
    assert links.keys() == {"user01", "user02", "cancel"}
    answers = {
        id_: sent_back(requests.get(f"{server.url}{link}", timeout=60, allow_redirects=False))
        for id_, link in links.items()
    }
    assert answers["cancel"] == {"error": "access_denied", "state": '"><s>'}
    form = {"grant_type": "authorization_code", "code": answers["user02"]["code"], "redirect_uri": REDIRECT}
    assert user(server, token(server, **form).json()["access_token"]) == "user02"


def test_asks_for_consent_again_only_if_the_app_requests_the_dialog(server: Server) -> None:
    def visit(**query: str) -> requests.Response:
        asked = {"client_id": "app", "response_type": "code", "redirect_uri": REDIRECT, "scope": "a", **query}
        return browser.get(f"{server.url}/authorize", params=asked, timeout=60, allow_redirects=False)

    with requests.Session() as browser:
        assert visit().status_code == 200
        code = sent_back(visit(**{"as": "user02"}))["code"]
        assert visit().status_code == 200, "the app has not fetched its tokens yet"
        token(server, grant_type="authorization_code", code=code, redirect_uri=REDIRECT)
        assert "code" in sent_back(visit())
        assert visit(show_dialog="true").status_code == 200
        assert visit(scope="a b").status_code == 200, "more scopes than were granted"
        assert visit(client_id="another").status_code == 200
        server.control.revoke("user02")
        assert visit().status_code == 200


def test_the_user_can_deny_access(server: Server) -> None:
    server.control.settings(login="deny")
    assert sent_back(authorize(server)) == {"error": "access_denied", "state": "s1"}


def test_the_account_that_logs_in_can_be_configured(server: Server) -> None:
    server.control.settings(login_account="user02")
    back = sent_back(authorize(server, user=""))
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": REDIRECT}
    assert user(server, token(server, **form).json()["access_token"]) == "user02"


def test_rejects_missing_wrong_and_expired_bearer_tokens() -> None:
    with start("tiny", token_life=1_000) as server:
        access = refresh(server, server.refresh_token()).json()["access_token"]
        server.control.settings(clock_offset=999)
        assert user(server, access) == "user01"
        server.control.settings(clock_offset=1_001)
        for headers, message in (
            ({}, "No token provided"),
            ({"Authorization": "Bearer nonsense"}, "Invalid access token"),
            ({"Authorization": f"Bearer {access}"}, "The access token expired"),
        ):
            reply = requests.get(f"{server.url}/v1/me", headers=headers, timeout=60)
            assert reply.status_code == 401
            assert reply.json() == {"error": {"status": 401, "message": message}}
            assert message in reply.headers["WWW-Authenticate"]


def test_the_token_endpoint_can_fail(server: Server) -> None:
    server.control.add_fault(family="accounts", status=503)
    assert refresh(server, server.refresh_token()).status_code == 503
    assert refresh(server, server.refresh_token()).status_code == 200


def test_requests_are_counted_for_the_client_that_asked_for_the_token(server: Server) -> None:
    """Also if any client may use the refresh token, and with Basic authentication."""
    first = token(server, grant_type="refresh_token", refresh_token=server.refresh_token(), client_id="one").json()
    basic = base64.b64encode(b"two:secret").decode()
    form = {"grant_type": "refresh_token", "refresh_token": server.refresh_token()}
    headers = {"Authorization": f"Basic {basic}"}
    second = requests.post(f"{server.url}/api/token", data=form, headers=headers, timeout=60).json()
    code = sent_back(authorize(server, client_id="three"))["code"]
    third = token(server, grant_type="authorization_code", code=code, redirect_uri=REDIRECT, client_id="three").json()
    for answer in (first, second, third):
        assert user(server, answer["access_token"]) == "user01"
    logged = [(each["path"], each["client_id"]) for each in server.control.requests()]
    assert [client for path, client in logged if path == "/api/token"] == ["one", "two", "three"]
    assert [client for path, client in logged if path == "/authorize"] == ["three"]
    assert [client for path, client in logged if path == "/v1/me"] == ["one", "two", "three"]
