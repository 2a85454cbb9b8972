"""Settings of the simulator, which can change while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class SimulatorSettings:
    """How the simulated Spotify behaves. Times are in seconds unless the name says otherwise."""

    regime: str = "full"  # or "restricted"
    latency_ms: float = 0.0  # mean; each reply takes between half and one and a half of it
    rate: int = 0  # requests per rolling window and app; 0: no limit
    client_rate: dict[str, int] = field(default_factory=dict)  # instead of `rate`, per client id
    rate_window: float = 30.0
    rate_retry_after: bool = True  # real 429s sometimes lack the header
    rate_body: str = "json"  # or "text"
    quota: dict[str, int] = field(default_factory=dict)  # requests per developer, family and `quota_window`
    developer_quota: dict[str, dict[str, int]] = field(
        default_factory=dict
    )  # instead of `quota`, where it has a family
    developers: dict[str, str] = field(default_factory=dict)  # by client id; by default each is a developer of its own
    banned: dict[str, float] = field(default_factory=dict)  # until when (epoch) all requests of a developer are refused
    quota_window: float = 86_400.0
    # The quota is the developer's: calls of their other apps spend it, which this app can't see (July 2026 quota post).
    quota_used_elsewhere: dict[str, int] = field(default_factory=dict)  # per family
    cooldown_restarts: bool = False  # a request during a cooldown starts it anew (parachord-mobile 0.8.1)
    token_life: float = 3_600.0
    refresh_reply: str = "none"  # the refresh token in the reply to a refresh: "none", "same" or "rotate"
    refresh_life: float = 15_552_000.0  # half a year after consent
    client_id: str = ""  # if set, other clients are refused
    client_secret: str = ""
    premium: bool = True  # whether the app's owner has Premium; if not, every request is refused
    unlisted: list[str] = field(default_factory=list)  # accounts that are not on the app's list of users
    redirect_uri: str = ""  # if set, others are refused; without a port it matches every port
    code_life: float = 600.0  # of an authorization code
    login: str = "ask"  # at /authorize: show a page, or "allow" or "deny" without one
    login_account: str = ""  # logs in there without a page; default: the first account

    def change(self, values: Mapping[str, Any]) -> None:
        """Set several by name. An unknown name or an invalid value raises ValueError and changes nothing."""
        kinds = {each.name: type(getattr(self, each.name)) for each in fields(self)}
        for name, value in values.items():
            _check(name, value, kinds)
        for name, value in values.items():
            setattr(self, name, kinds[name](value))


_CHOICES = {
    "regime": ("full", "restricted"),
    "rate_body": ("json", "text"),
    "refresh_reply": ("none", "same", "rotate"),
    "login": ("ask", "allow", "deny"),
}


def _check(name: str, value: Any, kinds: Mapping[str, type]) -> None:
    if name not in kinds:
        raise ValueError(f"no setting {name!r}; the settings are {', '.join(kinds)}")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ValueError(f"{name} must be one of {', '.join(_CHOICES[name])}, not {value!r}")
    fits = isinstance(value, int | float) if kinds[name] in (int, float) else isinstance(value, kinds[name])
    if not fits:
        raise ValueError(f"{name} must be {kinds[name].__name__}, not {value!r}")
