"""Reads a server's address where it may be a host alone, as OLLAMA_HOST is read by Ollama itself.

Source: `Host` in Ollama's envconfig. In addition a user and a password may stand before the host.
"""

from __future__ import annotations

PORTS = {"http": 80, "https": 443}  # where a scheme is written and no port
LOOPBACK = "127.0.0.1"
CLOUD = "ollama.com"  # which answers https only


def host_url(value: str, port: int) -> str:
    """Returns the URL that a value means; `port` holds where it has neither a port nor a scheme.

    Blanks and quotes around it do not count, a missing host is this machine, a port that is none is the default, and
    an IPv6 address needs no brackets.
    """
    value = value.strip().strip("\"'").strip()
    scheme, separator, rest = value.partition("://")
    if separator:
        port = PORTS.get(scheme, port)
    elif value == CLOUD:
        scheme, rest, port = "https", value, PORTS["https"]
    else:
        scheme, rest = "http", value
    address, slash, path = rest.partition("/")
    user, at, address = address.rpartition("@")
    host, colon, number = address.rpartition(":")
    if not colon or (":" in host and host[-1] != "]"):  # no port, or all of it is an IPv6 address
        host, number = address, ""
    if not (number.isascii() and number.isdigit() and len(number) < 6 and int(number) < 65536):
        number = str(port)
    host = host.strip("[]") or LOOPBACK
    if ":" in host:
        zone = host.replace("%25", "%").replace("%", "%25")  # RFC 6874
        host = f"[{zone}]"
    return f"{scheme}://{user}{at}{host}:{number}{slash}{path}".rstrip("/")
