"""What can be set when the simulator starts and changed while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Settings:
    """How this Spotify behaves. Times are in seconds unless the name says otherwise."""

    regime: str = "full"  # or "restricted"
    latency_ms: float = 0.0  # mean, spread evenly from half to one and a half
    rate: int = 0  # requests in a rolling window, 0: no limit
    rate_window: float = 30.0
    rate_retry_after: bool = True  # a real 429 comes without the header now and then
    rate_body: str = "json"  # or "text"
    quota: dict[str, int] = field(default_factory=dict)  # family: requests in `quota_window`
    quota_window: float = 86_400.0
    token_life: float = 3_600.0
    refresh_reply: str = "none"  # the refresh token in the reply to a refresh: "none", "same" or "rotate"
    refresh_life: float = 15_552_000.0  # half a year after consent
    client_id: str = ""  # when set, no other is served
    client_secret: str = ""
    premium: bool = True  # whether the owner of the app has it: if not, nobody is served
    unlisted: list[str] = field(default_factory=list)  # accounts that are not on the app's list of users
    redirect_uri: str = ""  # when set, no other is served; one without a port stands for every port
    code_life: float = 600.0  # of what /authorize hands out
    login: str = "ask"  # at /authorize: a page for a person, or "allow" or "deny" without asking
    login_account: str = ""  # who logs in there when nobody is asked, the first account by default

    def change(self, values: Mapping[str, Any]) -> None:
        """Set several by name. An unknown name, a wrong type or a wrong word changes nothing and raises ValueError."""
        kinds = {each.name: type(getattr(self, each.name)) for each in fields(self)}
        for name, value in values.items():
            _check(name, value, kinds)
        for name, value in values.items():
            setattr(self, name, kinds[name](value))


_WORDS = {
    "regime": ("full", "restricted"),
    "rate_body": ("json", "text"),
    "refresh_reply": ("none", "same", "rotate"),
    "login": ("ask", "allow", "deny"),
}


def _check(name: str, value: Any, kinds: Mapping[str, type]) -> None:
    if name not in kinds:
        raise ValueError(f"no setting {name!r}; there are {', '.join(kinds)}")
    if name in _WORDS and value not in _WORDS[name]:
        raise ValueError(f"{name} is one of {', '.join(_WORDS[name])}, not {value!r}")
    fits = isinstance(value, int | float) if kinds[name] in (int, float) else isinstance(value, kinds[name])
    if not fits:
        raise ValueError(f"{name} must be {kinds[name].__name__}, not {value!r}")
