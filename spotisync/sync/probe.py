"""Does Spotify answer an account? One cheap call."""

from spotisync.errors import Transient, Wait
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store.accounts import Account
from spotisync.sync.context import Context
from spotisync.sync.tokens import access_token


def check_spotify_answers(context: Context, account: Account) -> None:
    """Ask Spotify who this is. Raises NeedsLogin, Fatal, Refused, Transient, or Wait while nothing may be asked."""
    if block := context.gate.find_block("*"):
        raise Wait("*", block.until, block.reason)
    token = access_token(context, account.id)
    try:
        _me(context, token)
    except Unauthorised:
        try:
            _me(context, access_token(context, account.id, rejected=token))
        except Unauthorised as error:
            raise Transient(f"{error}, with a new token") from None


def _me(context: Context, token: str) -> None:
    try:
        context.spotify.get_profile(token)
    except Throttled as told:
        # Not a cooldown for the gate: it says nothing of the families that syncs ask.
        raise Transient(str(told)) from None
