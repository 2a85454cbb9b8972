"""The log of turns in Redis, one for all processes of a developer account, timed by the clock of Redis."""

import re
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.sentinel import Sentinel

from spotisync.core.pace import FUTURE, Allowance, Turn

# `TurnLog.take` of `core.pace`. Returns microseconds, because Redis makes integers of Lua's numbers.
TAKE: Final = """
local log, limit, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local burst, gap, patience, future = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local function entry(index) return tonumber(redis.call('LINDEX', log, index) or nil) end
local newest = entry(0)
if newest and newest > now + future then
    redis.call('DEL', log)
    newest = nil
end
local at = now + math.max(0, redis.call('PTTL', KEYS[2])) / 1000
local full = entry(limit - 1)
if full then at = math.max(at, full + window) end
local spread = entry(burst - 1)
if newest then at = math.max(at, newest + ((spread and spread + window > at) and gap or 0)) end
local micros = math.ceil((at - now) * 1000000)
if at - now > patience then return {micros, 0} end
redis.call('LPUSH', log, string.format('%.6f', at))
while entry(-1) <= at - window do redis.call('RPOP', log) end
redis.call('PEXPIRE', log, math.ceil(window * 1000 + micros / 1000))
return {micros, redis.call('LLEN', log)}
"""
# Seconds.
TIMEOUTS: Final[dict[str, Any]] = {"socket_timeout": 1, "socket_connect_timeout": 1}


class SharedLog:
    """Raises `redis.RedisError` while Redis is away or refuses writes."""

    def __init__(self, url: str, developer: str) -> None:
        self._client = _connect(url)
        self._take = self._client.register_script(TAKE)
        # The braces keep both keys on one node of a cluster.
        self._log, self._pause = (f"spotisync:{kind}:{{{developer}}}" for kind in ("turns", "pause"))

    def take(self, allowed: Allowance, patience: float) -> Turn:
        args = (allowed.limit, allowed.window, allowed.burst, allowed.gap, patience, FUTURE)
        micros, sent = self._take(keys=(self._log, self._pause), args=args)
        return Turn(micros / 1e6, sent)

    def pause(self, seconds: float) -> None:
        """Give no turn for so long."""
        self._client.set(self._pause, 1, px=round(1000 * seconds))

    def find_pause(self) -> float:
        """The seconds for which no turn is given."""
        milliseconds: int = self._client.pttl(self._pause)
        return max(0.0, milliseconds / 1000)


def redis_url(url: str, sentinel_master: str | None = None) -> str | None:
    """Convert Celery's Redis URL to one of redis-py, or to `redis+sentinel://…/master`; None if it is no Redis URL."""
    parts = urlsplit(url)
    if parts.scheme in {"redis", "rediss"}:
        return url
    if parts.scheme == "sentinel":
        login = "".join(parts.netloc.rpartition("@")[:2])
        hosts = (urlsplit(each).netloc.rpartition("@")[2] for each in url.split(";"))
        ports = ",".join(host if re.search(r":\d+$", host) else f"{host}:26379" for host in hosts)
        return f"redis+sentinel://{login}{ports}/{sentinel_master}"
    if parts.scheme not in {"redis+socket", "socket"}:
        return None
    database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    return f"unix://{parts.netloc}{parts.path}?db={database}"


def _connect(url: str) -> Any:
    parts = urlsplit(url)
    if parts.scheme != "redis+sentinel":
        return redis.from_url(url, **TIMEOUTS)
    hosts = (each.rpartition(":") for each in parts.netloc.rpartition("@")[2].split(","))
    # As in Celery, the login is that of Redis, not that of Sentinel.
    connect: Any = Sentinel
    sentinel = connect([(host, int(port)) for host, _, port in hosts], sentinel_kwargs=TIMEOUTS, **TIMEOUTS)
    login = {"username": unquote(parts.username or "") or None, "password": unquote(parts.password or "") or None}
    return sentinel.master_for(parts.path[1:], **login)
