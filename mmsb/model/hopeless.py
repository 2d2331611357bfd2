"""What ends a run: an error that every other prompt would meet too, with what to do about it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from mmsb.errors import ModelError
from mmsb.model.request_errors import FATAL, FATAL_CODES, PROXY, RequestError
from mmsb.model.route import Servers
from mmsb.model.urls import shown
from mmsb.serve.settings import Server

if TYPE_CHECKING:
    from mmsb.model.endpoint import Endpoint

# What an endpoint may not take, or not with this value, and what is set for it where leaving it out is not enough.
PARAMETER = re.compile(r"\b(temperature|top_p|seed|max_tokens|max_completion_tokens)\b")
UNKNOWN = re.compile(r"support|unknown|unrecognized|unexpected|extra (inputs|fields)", re.IGNORECASE)  # not: too large
INSTEAD = {
    "max_tokens": "max_tokens_parameter=max_completion_tokens",
    "max_completion_tokens": "max_tokens_parameter=max_tokens",
}
PULL = "try pulling it first"  # Ollama, of a model that is not on the disk


LATER = (
    "See its provider's page for what the account may ask, and when again. What was answered is stored: the same "
    "command goes on from here. patience=SECONDS waits longer."
)


class Patient(Protocol):
    """Settings of what is asked at an endpoint, as far as they say how long it is tried."""

    @property
    def name(self) -> str:
        """The model's, at the endpoint."""
        ...

    @property
    def api_key_env(self) -> str | None:
        """The name of the variable that holds the key."""
        ...

    @property
    def server(self) -> Server | None:
        """How a server of one's own is started."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds for one whole request."""
        ...

    @property
    def patience(self) -> float:
        """Seconds within which the same is asked again."""
        ...

    @property
    def give_up(self) -> float:
        """Seconds after which an endpoint that fails everything is given up."""
        ...

    def dead(self) -> ModelError | None:
        """Why the server that was started for this does not run any more."""
        ...


def hopeless(
    met: RequestError, model: Patient, servers: Servers, endpoint: Endpoint, path: str, every: bool
) -> ModelError | None:
    """The error that ends the run; None where another prompt may well be answered.

    Args:
        met: what a prompt ran into in the end.
        model: the engine's settings.
        servers: all that it may ask.
        endpoint: the one that was asked last.
        path: what was asked for there, below its URL.
        every: whether so many prompts in a row were refused that all others would be.
    """
    url = shown(endpoint.url)
    # A connection lost after answers may come back; one that was never heard, or not for so long, will not.
    silent = servers.heard is None or time.monotonic() - servers.heard > model.patience
    if met.cause == "tls" and silent:
        return ModelError(
            f"no safe connection to base_url={url} ({met.message})",
            "Check whether base_url begins with http:// or https://; for a certificate of your own, set "
            "SSL_CERT_FILE to the file of its authority.",
        )
    # Before what follows: that is what a dead server looks like from outside.
    if died := model.dead():
        return died
    given_up = servers.given_up(model.give_up)
    if met.unreachable and (silent or given_up):
        command = model.server.start_command(model.name) if model.server else None
        start = f"Start the server, e.g. {command} (serve=true does it), or set" if command else "Check"
        return ModelError(f"nothing answers at base_url={url} ({met.message})", f"{start} base_url.")
    if given_up:
        return ModelError(
            f"{url} has failed everything for {model.give_up:g} s ({met.cause}: {met.message})",
            "See that server's log, or its provider's status page. What was answered is stored: the same command "
            "goes on from here. give_up=SECONDS waits longer.",
        )
    # Of this server: one of several that never answered would else fail its share of the prompts, one by one.
    answered = bool(servers.answered[endpoint.url])
    return _refused(met, model, endpoint, path, answered) if met.fatal(answered) or every else None


def turned_away(met: RequestError, model: Patient, endpoint: Endpoint) -> ModelError:
    """The error that ends the run where an endpoint is too busy for everybody: a limit of the day, say."""
    return ModelError(
        f"{shown(endpoint.url)} has answered nobody for {model.patience:g} s ({met.cause}: {met.message})",
        LATER,
    )


def _refused(met: RequestError, model: Patient, endpoint: Endpoint, path: str, answered: bool) -> ModelError:
    url = shown(endpoint.url)
    said = f"(HTTP {met.status}: {met.message})"
    if met.status == 407 or met.cause == PROXY:
        return ModelError(
            f"the proxy in front of {url} lets nothing through {said}",
            "Give the variable http_proxy or https_proxy its name and password, or name the host in no_proxy.",
        )
    if met.moved:
        return ModelError(
            f"{url} sends requests elsewhere {said}", "Set base_url to that address, if you trust it with the data."
        )
    if met.status == 404 and PULL in met.message:
        return ModelError(
            f"{url} has no model name={model.name} {said}", f"ollama pull {model.name}, while `ollama serve` runs."
        )
    if met.status == 404:
        mostly = "" if urlsplit(url).path else f" (mostly {url}/v1)"
        return ModelError(
            f"{url} has no model name={model.name}, or no {path} {said}",
            f"Check name and base_url{mostly}; most endpoints list their models at {url}/models.",
        )
    if met.status in (401, 403):
        return ModelError(f"{url} refuses {model.name} {said}", _about_the_key(model.api_key_env, endpoint.key))
    if met.again:  # later, that is
        return ModelError(f"{url} sends every prompt away for {met.after:,.0f} s {said}", LATER)
    told = f"{url} refuses every request to {model.name}"
    if answered and met.code not in FATAL_CODES and met.status not in FATAL:
        return ModelError(
            f"{told} now, also one that was answered before {said}",
            "See that server's log, or its provider's status page. What was answered is stored: the same command goes "
            "on from here.",
        )
    return ModelError(f"{told} {said}", _about_the_setting(met.message))


def _about_the_setting(message: str) -> str:
    if (named := PARAMETER.search(message)) is None or not UNKNOWN.search(message):
        return "Change that setting or account."
    # The one that is refused is named first; one that is to take its place may follow.
    change = INSTEAD.get(named[1], f"{named[1]}=null")
    return f"Add model.{change} to the command (of a judge judge.model.{change})."


def _about_the_key(variable: str | None, key: str | None) -> str:
    if variable is None:
        return "Name the environment variable that holds the key: api_key_env=..."
    if not key:
        return f"Set the environment variable {variable} to the key: it is not set."
    return f"Check the key in the environment variable {variable}, and what it is allowed to use."
