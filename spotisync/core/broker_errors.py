"""What a broker or result backend means by an error, and how to fix it.

The classes of errors are compared by name: the libraries of all brokers need not be installed.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from spotisync.core import hints

_LOGIN: Final = "correct user and password in {variable}, with special characters percent-encoded"
_MISSING: Final = "create what is named, such as the vhost (rabbitmqctl add_vhost NAME), or correct {variable}"
# By the code in the server's answer. `{variable}`: the one with the server's URL.
CURES: Final = {
    "MISCONF": "the server can't save its data: free space on its disk, and see its log. Workers continue then",
    "READONLY": "{variable} leads to a replica, as after a failover: use the primary's address, or sentinel://",
    "OOM": "the server's memory is full: raise maxmemory, or delete data of other programs. Workers continue then",
    "WRONGPASS": _LOGIN,
    "NOAUTH": _LOGIN,
    "ACCESS_REFUSED": _LOGIN,
    "NOPERM": "allow the user in {variable} all commands, keys and channels, as in docs/operations.md",
    "NOT_FOUND": _MISSING,
    "NOT_ALLOWED": _MISSING,
    "PRECONDITION_FAILED": (
        "another program declared this queue or exchange with other arguments. Stop it, and delete what is named "
        "(rabbitmqctl delete_queue --vhost VHOST NAME): spotisync declares it again and repeats what was in it"
    ),
    "CERTIFICATE_VERIFY_FAILED": (
        "for a certificate of a private authority, add ?ssl_ca_certs=/path/ca.pem to {variable}; "
        "?ssl_cert_reqs=none turns verification off"
    ),
}
OTHER_CURE: Final = "see the server's log, and what its documentation says about this answer"
# Redis' codes that redis-py removes from its messages.
CODES: Final = {
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "AuthenticationError": "WRONGPASS",
    "NoPermissionError": "NOPERM",
    "ResponseError": "ERR",
}
_CODE: Final = re.compile(
    rf"\b({'|'.join(CURES)}|(?<=\) )[A-Z]+(?:_[A-Z]+)+)\b"
)  # or AMQP's, as in (541) INTERNAL_ERROR


def explain(error: BaseException, url: str, variable: str) -> tuple[str, str]:
    """Return what the server says, without the password of its URL, and how to fix it."""
    words = _without_password(str(error).strip() or type(error).__name__, url)
    if not (code := _find_code(error)):
        return f"can't be reached ({words})", hints.BROKER.replace("SPOTISYNC_BROKER_URL", variable)
    answer = words if code == "ERR" or code in words else f"{code} {words}"
    return f"answers: {answer}", CURES.get(code, OTHER_CURE).format(variable=variable)


def _find_code(error: BaseException) -> str | None:
    """The code of the server's answer, None if it did not answer. Celery and kombu wrap the errors of the libraries."""
    for each in _causes(error):
        if found := _CODE.search(str(each)):
            return found[1]
        if code := next((CODES[name] for name in (kind.__name__ for kind in type(each).mro()) if name in CODES), None):
            return code
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _without_password(words: str, url: str) -> str:
    """Some servers repeat the arguments of a command that they do not know."""
    for password in re.findall(r"://[^/@]*?:([^/@]+)@", url):
        words = words.replace(unquote(password), "**").replace(password, "**")
    return words
