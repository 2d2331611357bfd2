"""The URLs of endpoints: what one must be, and how it is shown."""

from __future__ import annotations

from urllib.parse import urlsplit

from mmsb.errors import ConfigError

PATHS = ("/chat/completions", "/completions", "/responses", "/images/generations")  # below a base_url


def check_url(url: str) -> None:
    """Refuse what no endpoint has as its URL.

    Raises:
        ConfigError: it is none, holds a user name, a password, a query or a fragment, or the path of one request.
    """
    netloc = url.partition("://")[2].partition("/")[0]
    if "@" in netloc or "?" in url or "#" in url:
        raise ConfigError(
            "base_url must hold no user name, password, query or fragment; its value is not shown here",
            "Put the key into an environment variable and name that in api_key_env.",
        )
    if not is_url(url):
        raise ConfigError(f"base_url={url} is not a URL", "Give it like http://localhost:8000/v1.")
    refuse_path(url)


def refuse_path(url: str) -> None:
    """Refuse a URL that ends with what is asked for below it.

    Raises:
        ConfigError: it does.
    """
    for asked in PATHS:
        if (base := shown(url)).endswith(asked):  # without what may be a password
            raise ConfigError(
                f"base_url={base} ends with what is asked for there",
                f"Leave {asked} out: base_url={base.removesuffix(asked)}",
            )


def is_url(url: str) -> bool:
    """Whether it names a host, and how it is spoken to."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an address of IPv6
        return False


def shown(url: str) -> str:
    """A URL for people and for files: no user name, no password, no query, no slash at its end."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
