"""What `spotisync doctor` says of an error of a broker."""

import pytest
from amqp.exceptions import AccessRefused, PreconditionFailed
from kombu.exceptions import OperationalError
from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from spotisync.core.broker_errors import explain

URL = "redis://user:p%40ss@host:6379/0"


def explained(error: Exception) -> str:
    return " | ".join(explain(error, URL, "SPOTISYNC_BROKER_URL"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ResponseError("MISCONF Redis is configured to save RDB snapshots"), ("answers: MISCONF Redis", "disk")),
        (ReadOnlyError("You can't write against a read only replica."), ("answers: READONLY You", "sentinel://")),
        (OutOfMemoryError("command not allowed"), ("answers: OOM command", "maxmemory")),
        (AuthenticationError("invalid username-password pair"), ("answers: WRONGPASS invalid", "password")),
        (AuthenticationError("Authentication required. NOAUTH"), ("answers: Authentication required", "password")),
        (NoPermissionError("this user has no permissions"), ("answers: NOPERM this", "all commands")),
        (ResponseError("unknown command 'FOO'"), ("answers: unknown command", "server's log")),
        (
            AccessRefused("ACCESS_REFUSED - Login was refused", (0, 0)),
            ("answers: (0, 0): (403) ACCESS_REFUSED", "password"),
        ),
        (
            PreconditionFailed("PRECONDITION_FAILED - inequivalent arg", (50, 10)),
            ("inequivalent", "rabbitmqctl delete_queue"),
        ),
        (OperationalError("Connection.open: (541) INTERNAL_ERROR - x"), ("answers: Connection.open", "server's log")),
        (ConnectionRefusedError(111, "Connection refused"), ("can't be reached ([Errno 111]", "SPOTISYNC_BROKER_URL")),
        (
            OSError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
            ("CERTIFICATE_VERIFY", "ssl_ca_certs="),
        ),
        (TimeoutError(), ("can't be reached (TimeoutError)", "running")),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, Exception) else "",
)
def test_the_servers_words_and_a_cure(error: Exception, words: tuple[str, str]) -> None:
    said = explained(error)
    assert all(each in said for each in words), said


def test_the_error_that_kombu_wraps_is_found() -> None:
    wrapped = OperationalError("You can't write against a read only replica.")
    wrapped.__cause__ = ReadOnlyError(str(wrapped))
    assert "READONLY" in explained(wrapped)


def test_a_password_that_the_server_repeats_is_hidden() -> None:
    said = explained(ResponseError("unknown command `AUTH`, with args beginning with: `p@ss`, p%40ss"))
    assert "p@ss" not in said
    assert "p%40ss" not in said


def test_the_variable_of_the_server_is_named() -> None:
    assert "SPOTISYNC_RESULT_BACKEND is correct" in explain(OSError("x"), "", "SPOTISYNC_RESULT_BACKEND")[1]
