"""URLs of PostgreSQL and the broker, in the forms that hosts hand out.

Errors are `ValueError`. They never quote a value, since a password with an unescaped character can end up in any part.
"""

import re
import ssl
from collections.abc import Iterable
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

DATABASE_FORM: Final = "postgresql://user:password@host:5432/database"
BROKER_FORM: Final = "redis://:password@host:6379/0 or amqp://user:password@host:5672/vhost"
ENCODE: Final = "percent-encode special characters of user and password (@ as %40, / as %2F, ? as %3F, # as %23)"

POSTGRES_SCHEMES: Final = {
    "postgres",
    "postgresql",
    "postgresql+psycopg",
    "postgresql+psycopg2",
    "postgres+psycopg2",
    "postgresql+asyncpg",
}
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Prisma's own pool: https://www.prisma.io/docs/orm/overview/databases/postgresql
PRISMA_PARAMETERS: Final = {"connection_limit", "pool_timeout"}
TRUE: Final = {"1", "true", "yes", "on"}
FALSE: Final = {"0", "false", "no", "off"}

REDIS_SCHEMES: Final = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "sentinel": "sentinel",
    "redis+socket": "redis+socket",
    "socket": "redis+socket",
    "unix": "redis+socket",
    "redis+unix": "redis+socket",
}
BROKER_SCHEMES: Final = {"amqp", "amqps", "pyamqp", "memory"}
RESULT_SCHEMES: Final = {"cache+memory", "rpc", "file"}
REDIS_PARAMETERS: Final = (
    "ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname", "master_name",
)  # fmt: skip
# Names of TLS' parameters for py-amqp.
AMQP_TLS: Final = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
AMQP_PARAMETERS: Final = ("heartbeat", "login_method")
AMQPS_PARAMETERS: Final = (*AMQP_PARAMETERS, "ssl_cert_reqs", "ssl_check_hostname", *AMQP_TLS)
AMQP_LOGINS: Final = ("PLAIN", "AMQPLAIN", "EXTERNAL")
# Celery also accepts the first three, but redis-py only the last three.
CERT_REQS: Final = {
    "cert_none": "none",
    "cert_optional": "optional",
    "cert_required": "required",
    "none": "none",
    "optional": "optional",
    "required": "required",
}

VERIFY_MODES: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def split_scheme(url: str, form: str) -> tuple[str, str]:
    """The scheme in lower case, and the rest after `://`."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.:-]*)://", url)
    if not found:
        raise ValueError(f"not a URL; use {form}")
    return found[1].lower(), url[found.end() :]


# ---- PostgreSQL -----------------------------------------------------------------------------------------------------


def parse_database_url(url: str, *, pooler: bool | None = None) -> str:
    """The SQLAlchemy URL for psycopg 3. `pooler` overrides the URL's own parameter `pgbouncer`.

    If the parameter `pgbouncer` is in the result, it is true or false; `spotisync.store.engine` removes it.
    """
    if re.match(r"\s*\w+\s*=", url):
        raise ValueError(f"a connection string of key=value pairs is not supported; use {DATABASE_FORM}")
    scheme, rest = split_scheme(url.strip(), DATABASE_FORM)
    if scheme == "jdbc:postgresql":
        raise ValueError(f"this is a URL for Java; use {DATABASE_FORM}")
    if scheme not in POSTGRES_SCHEMES:
        raise ValueError(f"{scheme}:// is not PostgreSQL, which spotisync needs; use {DATABASE_FORM}")
    address, parameters = _split_address(rest)
    userinfo, at, hosts = address.partition("/")[0].rpartition("@")
    database = address.partition("/")[2]
    if "\0" in unquote(url):
        raise ValueError("it contains a NUL character (%00), which PostgreSQL accepts nowhere")
    query = _check_parameters(parameters)
    if pooler is not None:
        query = [pair for pair in query if pair[0] != "pgbouncer"] + [("pgbouncer", str(pooler).lower())]
    names, ports = zip(*(_split_port(host, "5432") for host in hosts.split(",")), strict=True)
    if "," in hosts or "%" in hosts:  # which SQLAlchemy does not decode
        query += [("host", ",".join(unquote(name.strip("[]")) for name in names)), ("port", ",".join(ports))]
        hosts = ""
    # SQLAlchemy can't parse a URL with a user but no `@`, and libpq does not decode + as a space.
    encoded = f"?{urlencode(query, quote_via=quote, safe='/,')}" if query else ""
    return f"postgresql+psycopg://{userinfo}{at}{hosts.removesuffix(':')}/{database}{encoded}"


def _split_address(rest: str) -> tuple[str, str]:
    """Split what follows the scheme at the `?`. Refuse a password that ends up outside the user part."""
    address, _, parameters = rest.partition("?")
    authority, _, path = address.partition("/")
    if authority.count("@") > 1 or "@" in path or "#" in rest or ("@" in parameters and "@" not in authority):
        raise ValueError(ENCODE)
    return address, parameters


def _split_port(host: str, default: str) -> tuple[str, str]:
    name, port = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(.*))?", host, re.DOTALL).groups()  # type: ignore[union-attr]
    if port and not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        raise ValueError(f"the port is not a number below 65536; if it is part of the password, {ENCODE}")
    return name, port or default


def _check_parameters(parameters: str) -> list[tuple[str, str]]:
    checked = (_check_parameter(name, value) for name, value in parse_qsl(parameters, keep_blank_values=True))
    pairs = [pair for pair in checked if pair]
    names = [name for name, _ in pairs]
    if repeated := [name for name in names if name != "host" and names.count(name) > 1]:
        raise ValueError(f"the parameter {repeated[0]} is given twice")
    return pairs


def _check_parameter(name: str, value: str) -> tuple[str, str] | None:
    """The parameter as psycopg takes it, or None if it can be ignored."""
    if name == "pgbouncer":
        return name, str(_parse_switch(name, value)).lower()
    if name == "ssl":
        return "sslmode", "require" if _parse_switch(name, value) else "disable"
    if name in PRISMA_PARAMETERS or (name, value) == ("schema", "public"):
        return None
    if name == "schema":
        raise ValueError("spotisync's tables are in the schema public; remove the parameter schema")
    if name == "sslmode" and value not in SSL_MODES:
        raise ValueError(f"sslmode must be one of {', '.join(SSL_MODES)}")
    if name not in _libpq_parameters():
        raise ValueError(_describe_unknown(name))
    return name, value


@cache
def _libpq_parameters() -> frozenset[str]:
    """What the installed libpq takes. Imported here, because clients that only publish do not need PostgreSQL."""
    from psycopg.pq import Conninfo

    return frozenset(option.keyword.decode() for option in Conninfo.get_defaults())


def _parse_switch(name: str, value: str) -> bool:
    if value.lower() not in TRUE | FALSE:
        raise ValueError(f"the parameter {name} must be true or false")
    return value.lower() in TRUE


def _describe_unknown(name: str) -> str:
    shown = f" {name}" if re.fullmatch(r"[a-z][a-z_]{1,30}", name) else ""
    return f"unknown parameter{shown}; allowed are pgbouncer and those of libpq, such as sslmode and sslrootcert"


# ---- broker and results ---------------------------------------------------------------------------------------------


def parse_broker_url(url: str) -> str:
    """The broker's URL in the form that Celery, redis-py and Flower all read. Several: split by `;`."""
    return _parse_servers(url, BROKER_SCHEMES, BROKER_FORM)


def parse_result_url(url: str) -> str:
    if url.startswith(("amqp", "pyamqp")):
        raise ValueError("RabbitMQ keeps no results; use redis://:password@host:6379/0")
    if url.startswith("db+"):
        return url
    return _parse_servers(url, RESULT_SCHEMES, "redis://:password@host:6379/0")


def _parse_servers(url: str, others: set[str], form: str) -> str:
    servers = [_parse_server(each.strip(), others, form) for each in url.split(";") if each.strip()]
    if not servers:
        raise ValueError(f"not a URL; use {form}")
    # Celery's result backend splits only URLs of Sentinel, and kombu has one transport for all servers.
    schemes = {each.partition("://")[0].lower().removeprefix("py") for each in servers}
    if len(servers) > 1 and (len(schemes) > 1 or not schemes <= {"sentinel", "amqp", "amqps"}):
        raise ValueError("only sentinel://, amqp:// and amqps:// can have several servers, all of one scheme")
    parsed = ";".join(servers)
    if parsed.startswith("sentinel://") and not get_sentinel_master(parsed):
        raise ValueError("add the name of the master: sentinel://host:26379/0?master_name=mymaster")
    return parsed


def get_sentinel_master(url: str) -> str | None:
    """The parameter `master_name`, which Celery takes as a transport option."""
    names = [value for each in url.split(";") for key, value in parse_qsl(urlsplit(each).query) if key == "master_name"]
    return names[0] if names else None


def without_options(url: str) -> str:
    """The URL without what is given to Celery in another way: the name of the master, and TLS of RabbitMQ."""
    names = "master_name|ssl_[a-z_]+" if url.lower().startswith("amqps://") else "master_name"
    return ";".join(re.sub(r"[?&]$", "", re.sub(rf"(?<=[?&])({names})=[^&]*&?", "", each)) for each in url.split(";"))


def get_ssl_options(url: str) -> dict[str, Any]:
    """The `ssl_…` parameters of `rediss://` or `amqps://` as Celery's `broker_use_ssl`; empty for other URLs."""
    scheme, servers = url.partition("://")[0].lower(), [urlsplit(each) for each in url.split(";")]
    if scheme not in {"rediss", "amqps"}:
        return {}
    given = {key: value for key, value in parse_qsl(servers[0].query) if key.startswith("ssl_")}
    verify = VERIFY_MODES[_parse_cert_reqs(given.get("ssl_cert_reqs", "required"))]
    if scheme == "rediss":
        return {**given, "ssl_cert_reqs": verify}
    options = {"cert_reqs": verify, **{AMQP_TLS[key]: value for key, value in given.items() if key in AMQP_TLS}}
    # py-amqp compares the name only if it is given, and takes one for all servers.
    if verify and len(servers) == 1 and given.get("ssl_check_hostname", "").lower() != "false":
        options["server_hostname"] = servers[0].hostname or "localhost"
    return options


def _parse_server(url: str, others: set[str], form: str) -> str:
    scheme, rest = split_scheme(url, form)
    if scheme in others:
        return _check_other(url, rest)
    if scheme not in REDIS_SCHEMES:
        raise ValueError(f"{scheme}:// is not supported; use {form}")
    scheme = REDIS_SCHEMES[scheme]
    if scheme == "redis+socket":
        return _parse_socket(rest)
    address, parameters = _split_address(rest)
    host, _, path = address.partition("/")
    _check_brackets(address)
    _split_port(host.rpartition("@")[2], "6379")
    # Celery accepts a further /, redis-py does not.
    if path.strip("/") and not path.strip("/").isdecimal():
        raise ValueError(f"the path must be the number of a database, such as /0; if it is a password, {ENCODE}")
    query = dict(parse_qsl(parameters, keep_blank_values=True))
    _check_names(query, REDIS_PARAMETERS)
    if scheme == "redis" and any(name.startswith("ssl_") for name in query):
        raise ValueError("redis:// is not encrypted; use rediss:// with the parameters of ssl")
    if scheme == "rediss" or "ssl_cert_reqs" in query:
        query["ssl_cert_reqs"] = _parse_cert_reqs(query.get("ssl_cert_reqs", "required"))
    encoded = f"?{urlencode(query, quote_via=quote, safe='/')}" if query else ""
    return f"{scheme}://{address}{encoded}"


def _check_names(query: Iterable[str], allowed: tuple[str, ...]) -> None:
    if unknown := [name for name in query if name not in allowed]:
        shown = f" {unknown[0]}" if re.fullmatch(r"[a-z][a-z_]{1,30}", unknown[0]) else ""
        raise ValueError(f"unknown parameter{shown}; allowed are {', '.join(allowed)}")


def _check_brackets(address: str) -> None:
    """Refuse what the URL parsers of Python refuse when the URL is used."""
    try:
        urlsplit(f"//{address}")
    except ValueError:
        raise ValueError(
            f"the host in brackets is not an IPv6 address; if it is part of the password, {ENCODE}"
        ) from None


def _parse_socket(rest: str) -> str:
    path, _, parameters = rest.partition("?")
    query = dict(parse_qsl(parameters))
    if "password" in query:
        raise ValueError("the password of a socket comes before its path, such as unix://:password@/run/valkey.sock")
    _check_names(query, ("db", "virtual_host"))
    number = query.get("db") or query.get("virtual_host") or "0"
    if not number.strip("/").isdecimal():
        raise ValueError("the database must be a number, such as ?virtual_host=0")
    if not path.rpartition("@")[2].startswith("/"):
        raise ValueError("the path of a socket must be absolute, such as unix:///run/valkey/valkey.sock")
    return f"redis+socket://{path}?virtual_host={number.strip('/')}"


def _parse_cert_reqs(value: str) -> str:
    if value.lower() not in CERT_REQS:
        raise ValueError("ssl_cert_reqs must be required, optional or none")
    return CERT_REQS[value.lower()]


def _check_other(url: str, rest: str) -> str:
    address, parameters = _split_address(rest)
    _check_brackets(address)
    _split_port(address.partition("/")[0].rpartition("@")[2], "5672")
    scheme = url.partition("://")[0].lower()
    if "amqp" in scheme:
        allowed = AMQPS_PARAMETERS if scheme == "amqps" else AMQP_PARAMETERS
        _check_amqp_parameters(dict(parse_qsl(parameters, keep_blank_values=True)), allowed)
    return url


def _check_amqp_parameters(query: dict[str, str], allowed: tuple[str, ...]) -> None:
    """Refuse what kombu fails on when it connects."""
    _check_names(query, allowed)
    _parse_cert_reqs(query.get("ssl_cert_reqs", "required"))
    if not re.fullmatch(r"[0-9]{1,5}", query.get("heartbeat", "0")):
        raise ValueError("heartbeat must be a number of seconds")
    if query.get("login_method", "PLAIN") not in AMQP_LOGINS:
        raise ValueError(f"login_method must be one of {', '.join(AMQP_LOGINS)}")
