"""The HTTP of one endpoint: a body that is ready is posted, and the reply is read within limits.

aiohttp alone: a client for all of an API builds, checks and copies what is asked and answered here without need, which
costs several times what the request itself does.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.metadata import version
from os import environ
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from mmsb.errors import ConfigError
from mmsb.model.urls import is_url
from mmsb.replies import Malformed, Refused

LARGE_BODY = 1 << 20  # bytes above which a body is sent in pieces
ERROR_BYTES = 1_000_000  # of the longest error that is read
ERROR_SECONDS = 10.0  # that an error's body may take after its status
IDLE_SECONDS = 5.0  # after which a connection is not used again: a server may be about to close it
LATIN = ("iso-8859-1", "latin-1", "latin1", "windows-1252", "cp1252")
ACCOUNT = {"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"}  # as OpenAI's own client


class Client:
    """Posts to one endpoint, over as many connections as are in use."""

    def __init__(self, url: str, key: str | None, start: Callable[[], Awaitable[None]] | None = None) -> None:
        """Nothing is opened yet.

        Args:
            url: of the endpoint.
            key: without one "none" is sent, since some servers want to see any.
            start: awaited by each request once it has its connection, before it is sent.

        Raises:
            ConfigError: no header can hold the key, or the environment names a proxy that cannot be gone through.
        """
        if key and not key.isprintable():
            raise ConfigError(
                f"the key for {urlsplit(url).netloc} has a line break or another unprintable character in it",
                "Set its environment variable again, to the key alone; its value is not shown here.",
            )
        self._url = url.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {key or 'none'}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"mmsb/{version('mmsb')}",
            **{header: found for name, header in ACCOUNT.items() if (found := environ.get(name, "").strip())},
        }
        self._proxy = _proxy(self._url)
        self._start = start
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: bytes, connect_seconds: float, longest: int) -> bytes:
        """Send a body of JSON; give back the reply's. How long it may take as a whole is the caller's to limit.

        Args:
            path: below the endpoint's URL.
            body: of the request.
            connect_seconds: within which there must be a connection.
            longest: bytes of the longest reply that is read, decompressed.

        Raises:
            Refused: the status is no success. Redirects are none: nobody chose that other address.
            Malformed: the reply is longer than any answer.
            aiohttp.ClientError, OSError: there is no whole reply.
            ConfigError: SSL_CERT_FILE holds no certificates.
        """
        async with self._opened().post(
            self._url + path,
            # In pieces, others get a turn between two of them; aiohttp warns the person at the terminal if it is not.
            data=body if len(body) <= LARGE_BODY else io.BytesIO(body),
            # A redirected POST would carry the prompt and the key to an address that nobody named.
            allow_redirects=False,
            proxy=self._proxy,
            # aiohttp's total of five minutes is off with it: long answers take longer, and the caller sets the
            # deadline.
            timeout=aiohttp.ClientTimeout(sock_connect=connect_seconds),
        ) as reply:
            if 200 <= reply.status < 300:
                return _as_utf8(await _read(reply, longest), reply.charset)
            content = b""
            with suppress(aiohttp.ClientError, Malformed, TimeoutError):  # the status says enough
                async with asyncio.timeout(ERROR_SECONDS):
                    content = await _read(reply, ERROR_BYTES)
            raise Refused(reply.status, reply.headers, content)

    async def status(self, path: str, seconds: float) -> int:
        """The status of a GET.

        Raises:
            aiohttp.ClientError, OSError: there is none within so many seconds.
        """
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with self._opened().get(
            self._url + path, allow_redirects=False, proxy=self._proxy, timeout=timeout
        ) as reply:
            return reply.status

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # No limit of its own, no cookies: how many ask is decided before, and no request depends on another.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS, ssl=_certificates(self._url))
            cookies = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(
                connector=connector, headers=self._headers, cookie_jar=cookies, trace_configs=self._traces()
            )
        return self._session

    def _traces(self) -> list[aiohttp.TraceConfig]:
        """What a request meets on its way; nothing where nothing waits there, since tracing takes time."""
        if (start := self._start) is None:
            return []

        async def connected(*_: object) -> None:
            await start()

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(connected)
        trace.on_connection_reuseconn.append(connected)
        return [trace]

    async def close(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()


async def _read(reply: aiohttp.ClientResponse, longest: int) -> bytes:
    pieces, size = [], 0
    # Counted after decompression: 20 KB of gzip unpack to 20 MB, and to as much more as the sender likes.
    async for piece in reply.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > longest:
            raise Malformed(f"a reply of more than {longest // 1_000_000} MB")
    return b"".join(pieces)


def _as_utf8(content: bytes, charset: str | None) -> bytes:
    """JSON is UTF-8. Where a body is not, and its header says that it is Latin-1, that is what it is."""
    if charset is None or charset.lower() not in LATIN:
        return content
    try:
        content.decode()  # as most bodies are, whatever their header says
    except UnicodeDecodeError:
        with suppress(UnicodeDecodeError):  # not this either: mended as far as it can be
            return content.decode(charset).encode()
    return content


def _certificates(url: str) -> ssl.SSLContext | bool:
    if urlsplit(url).scheme != "https":
        return True
    # It knows where each system keeps its certificates, and SSL_CERT_FILE. Only here: it takes memory and time.
    from httpx2 import create_ssl_context

    try:
        return create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        named = f"SSL_CERT_FILE={environ['SSL_CERT_FILE']}" if environ.get("SSL_CERT_FILE") else "this system"
        raise ConfigError(
            f"the certificates of {named} cannot be read ({error.strerror or error})",
            "Set SSL_CERT_FILE to a file of certificates (PEM), or unset it.",
        ) from error


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for a URL.

    Raises:
        ConfigError: it is no proxy of HTTP, such as one of SOCKS, or not written as one.
    """
    scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
    proxies = getproxies()
    # Not aiohttp's trust_env: it knows no ALL_PROXY, and sends what ~/.netrc holds for a host.
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not is_url(proxy):
        raise ConfigError(
            # Without its name and password.
            f"{proxy.partition('://')[0]}://{proxy.rpartition('://')[2].rpartition('@')[2]}, which the environment "
            f"names for {host}, is no proxy of HTTP",
            f"Set {scheme}_proxy=http://HOST:PORT to one that is, or no_proxy={host} to go there without one.",
        )
    return proxy
