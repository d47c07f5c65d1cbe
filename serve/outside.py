"""Requests from this server to addresses that its clients name, guarded so that they reach no private network."""

import ipaddress
import socket

import aiohttp

from serve.errors import ApiError, invalid
from serve.settings import Outside

# IPv6 that a gateway may turn into any IPv4, and old site-local addresses: Python calls them global.
TRANSLATED = [ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "fec0::/10", "::/96")]
TIMEOUT = aiohttp.ClientTimeout(total=20, connect=5)


class ForbiddenAddress(OSError):
    """A name that resolved to an address outside the public internet."""


def is_inside(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Returns True if the address is not public, or if a gateway may translate it to one that is not."""
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None) or ip
    return not (ip.is_global and mapped.is_global) or any(ip in network for network in TRANSLATED)


def session(reach: Outside) -> aiohttp.ClientSession:
    """Opens a client that ignores the environment's proxies and, with `reach` public, refuses private addresses.

    The check uses the address of the connection itself. A name that resolves to another address after a check gains
    nothing.
    """

    def checked(address) -> socket.socket:
        family, kind, proto, _, where = address
        ip = ipaddress.ip_address(where[0].partition("%")[0])
        if (reach != "any" and is_inside(ip)) or ip.is_multicast:
            raise ForbiddenAddress(f"{ip} is not an address of the public internet")
        return socket.socket(family, kind, proto)

    connector = aiohttp.TCPConnector(socket_factory=checked, limit=16, force_close=True)
    return aiohttp.ClientSession(
        connector=connector, timeout=TIMEOUT, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    )


def check_url(url: str, param: str, reach: Outside) -> None:
    """Refuses anything but an http(s) URL without credentials, and any URL if `reach` is off.

    Raises:
        ApiError: 400.
    """
    if reach == "off":
        raise invalid(param, f"{param}: this server fetches no URLs: send the bytes.", "unsupported_value")
    try:
        parts = aiohttp.client.URL(url)
    except ValueError:
        parts = None
    good = parts is not None and parts.scheme in ("http", "https") and parts.host and url.isprintable()
    if parts is None or not good or parts.user or parts.password:
        raise invalid(param, f"{param}: expected a URL http://... or https://... without a user and a password.")


async def fetch(url: str, param: str, reach: Outside, most_bytes: int) -> bytes:
    """Downloads the body at `url`, of at most `most_bytes`; redirects are not followed.

    Raises:
        ApiError: 400, 413. It does not distinguish a closed port from a missing page, so that nobody can scan ports.
    """
    check_url(url, param, reach)
    body = bytearray()
    try:
        async with session(reach) as client, client.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise aiohttp.ClientError
            async for chunk in answer.content.iter_chunked(1 << 16):
                body += chunk
                if len(body) > most_bytes:
                    raise ApiError(413, f"{param}: more than {most_bytes} bytes.", code="image_too_large", param=param)
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
        raise invalid(param, f"{param}: this URL could not be read.", "invalid_image_url") from None
    return bytes(body)
