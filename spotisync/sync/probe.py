"""Does Spotify answer an account? One cheap call."""

from spotisync.errors import Transient, Wait
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store.accounts import Account
from spotisync.sync.context import Sync
from spotisync.sync.tokens import access_token


def ask(sync: Sync, account: Account) -> None:
    """Ask Spotify who this is. Raises NeedsLogin, Fatal, Refused, Transient, or Wait while nothing may be asked."""
    if block := sync.gate.block("*"):
        raise Wait("*", block.until, block.reason)
    token = access_token(sync, account.id)
    try:
        _me(sync, token)
    except Unauthorised:
        try:
            _me(sync, access_token(sync, account.id, rejected=token))
        except Unauthorised as error:
            raise Transient(f"{error}, with a new token") from None


def _me(sync: Sync, token: str) -> None:
    try:
        sync.client.me(token)
    except Throttled as told:
        # Not a cooldown for the gate: it says nothing of the families that syncs ask.
        raise Transient(str(told)) from None
