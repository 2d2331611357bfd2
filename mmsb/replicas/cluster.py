"""The Ray cluster that replicas run in.

It is joined where RAY_ADDRESS names one (`auto`: the one that `ray start` began on this machine); else Ray is begun
here, and ends with this process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mmsb.console import say
from mmsb.errors import ConfigError, ModelError

ADDRESS = "RAY_ADDRESS"
ANSWERS_WITHIN = 10.0  # seconds; Ray itself would wait for two minutes, and then end this process
LOOK = 1.0  # seconds between two looks at Ray's own processes, for whoever waits for results
HEAD_WITHIN = 30.0  # seconds that a cluster's head may be away: some are begun again; after 60 Ray ends this process


@dataclass(frozen=True)
class Room:
    """What replicas need of the cluster.

    Attributes:
        setting: the key that says how many there are, for messages.
        replicas: how many.
        cpus: of each.
        gpus: of each.
    """

    setting: str = field(compare=False)
    replicas: int
    cpus: float
    gpus: float

    def check(self) -> None:
        """Whether the cluster can hold them.

        Raises:
            ConfigError: it is too small.
        """
        import ray

        there = ray.cluster_resources()
        for kind, each in (("GPU", self.gpus), ("CPU", self.cpus)):
            has = there.get(kind, 0)
            if each * self.replicas > has:
                fit = int(has // each)
                raise ConfigError(
                    f"{self.setting}={self.replicas} needs {each * self.replicas:g} {kind}s; the cluster has {has:g}",
                    f"{self.setting}={fit}, or start more nodes first." if fit else "Start more nodes first.",
                )


def begin(setting: str, shown: bool = False) -> None:
    """Join the cluster that RAY_ADDRESS names, or begin one, and say which; `shown`: its processes print here.

    Raises:
        ConfigError: Ray is not installed (names the setting that needs it), or nothing answers at RAY_ADDRESS.
        ModelError: it does not begin on this machine.
    """
    try:
        import ray
    except ImportError as error:
        raise _missing(setting) from error
    if ray.is_initialized():
        return
    address = _address()
    try:
        _knock(address)
        with _sigterm_as_before():
            # No dashboard: it opens a port and starts processes that nobody asked for.
            _lastingly(lambda: ray.init(address, log_to_driver=shown, include_dashboard=False, logging_level="ERROR"))
    except Exception as error:  # where its processes do not come up, Ray raises no kind of its own
        if address == "local":
            raise ModelError(
                f"Ray does not begin on this machine: {' '.join(str(error).split())[:300]}",
                "Run the same command again, on a machine that is less busy perhaps; Ray's own logs are in "
                "/tmp/ray/session_latest/logs.",
            ) from error
        raise _closed(address, error) from error
    say(_told(address))


def _lastingly(begin: Callable[[], object]) -> None:
    """Begin in a thread that lives as long as this process: with its thread the system kills what Ray has started.

    A local model is asked from a thread of its run, and the next run of a sweep would find no cluster.
    """
    begun = Future[object]()

    def run() -> None:
        try:
            begun.set_result(begin())
        except BaseException as error:
            begun.set_exception(error)
        else:
            threading.Event().wait()

    threading.Thread(target=run, name="mmsb-ray", daemon=True).start()
    begun.result()


def check(setting: str) -> None:
    """See, without joining or beginning anything, that Ray can be had.

    Raises:
        ConfigError: as `begin`.
    """
    if importlib.util.find_spec("ray") is None:
        raise _missing(setting)
    try:
        _knock(_address())
    except OSError as error:
        raise _closed(_address(), error) from error


def _address() -> str:
    # Not Ray's own choice: without an address it joins whatever `ray start` began last on this machine, another's too.
    return os.environ.get(ADDRESS) or "local"


def _missing(setting: str) -> ConfigError:
    return ConfigError(f"{setting} needs Ray, which is not installed", "pip install 'mmsb[ray]'")


def _closed(address: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{ADDRESS}={address}, but no Ray cluster can be joined there: {' '.join(str(error).split())[:300]}",
        f"`ray start --head` tells the address. A cluster that was begun where there is a token (~/.ray/auth_token) is "
        f"joined with RAY_AUTH_MODE=token and that token. Without {ADDRESS} Ray is begun on this machine.",
    )


def _knock(address: str) -> None:
    """See that something answers at HOST:PORT.

    Raises:
        OSError: nothing does.
    """
    if found := re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address):
        socket.create_connection((found[1], int(found[2])), ANSWERS_WITHIN).close()


def lost() -> ModelError | None:
    """Why Ray can be asked nothing more; None while its own processes live.

    To be asked before Ray is waited for: without its agent on this machine it waits for ever, or ends this process
    from its own code, without a word.
    """
    import ray

    context = ray.get_runtime_context()
    stored = "What was answered is stored: the same command goes on from here."
    if not _answers(socket.AF_UNIX, _agent(context.get_node_id())):
        return ModelError("Ray's agent on this machine (raylet) died, for want of memory perhaps", stored)
    host, _, port = context.gcs_address.rpartition(":")
    until = time.monotonic() + HEAD_WITHIN
    while not _answers(socket.AF_INET6 if ":" in host else socket.AF_INET, (host.strip("[]"), int(port))):
        if time.monotonic() > until:
            return ModelError(
                f"the head of the Ray cluster ({host}:{port}) has not answered for {HEAD_WITHIN:g} s", stored
            )
        time.sleep(LOOK)
    return None


@cache
def _agent(node: str) -> str:
    """The socket of a node's agent, on this machine."""
    import ray

    return str(next(one["RayletSocketName"] for one in ray.nodes() if one["NodeID"] == node))


def _answers(family: socket.AddressFamily, address: Any) -> bool:
    with socket.socket(family) as end:
        end.settimeout(ANSWERS_WITHIN)
        try:
            end.connect(address)
        except OSError:
            return False
    return True


@contextmanager
def _sigterm_as_before() -> Iterator[None]:
    """Keep what SIGTERM does: Ray would have it end this process in the middle, with a stack trace of its own code."""
    python = signal.getsignal(signal.SIGTERM)
    get, put = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    get.restype = put.restype = ctypes.c_void_p
    get.argtypes, put.argtypes = [ctypes.c_int], [ctypes.c_int, ctypes.c_void_p]
    below = get(signal.SIGTERM)
    try:
        yield
    finally:
        # Only the main thread may ask Python for it; Ray's handler below Python's replaces it from any.
        if threading.current_thread() is threading.main_thread() and python is not None:
            signal.signal(signal.SIGTERM, python)
        put(signal.SIGTERM, below)


def _told(address: str) -> str:
    """Which cluster it is, and what it has."""
    import ray

    there, nodes = ray.cluster_resources(), sum(node["Alive"] for node in ray.nodes())
    has = f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"
    if address == "local":
        return f"ray: begun on this machine, for this command: {has} ({ADDRESS} would join a cluster that runs)"
    return f"ray: joined the cluster of {ADDRESS}={address}: {has} on {nodes} node{'s' * (nodes > 1)}"


def threads_of(room: Room) -> int | None:
    """Torch's threads in this process, for replicas without a GPU to take over; None where they have one.

    Ray gives a replica as many as it has cores. The last bits of a sum on the CPU depend on them, and with these the
    colour of a pixel, or a word where two are as likely.
    """
    if room.gpus:
        return None
    import torch

    return torch.get_num_threads()


def room_for(setting: str, replicas: int, device: str, cpus: int = 1, spread_out: bool = False) -> Room:
    """What replicas on this kind of device need; Ray is begun to look.

    Args:
        setting: the key that says how many, for messages.
        replicas: how many.
        device: "auto" is a GPU each where the cluster has any.
        cpus: cores of each.
        spread_out: whether the weights of one replica are spread over several GPUs: they share all there are.

    Raises:
        ConfigError: Ray is not installed, or one GPU was named: each replica sees only its own.
    """
    if ":" in device:
        key = setting.rpartition(".")[0]
        raise ConfigError(f"{key}.device={device}, but each replica has a GPU of its own", f"{key}.device=cuda")
    begin(setting)
    import ray

    there = int(ray.cluster_resources().get("GPU", 0))
    if device in ("cpu", "mps") or (device == "auto" and not there):
        return Room(setting, replicas, cpus, 0)
    return Room(setting, replicas, cpus, max(1, there // replicas) if spread_out else 1)
