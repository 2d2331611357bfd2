"""Several replicas give what one process gives, whatever dies meanwhile. One cluster of two nodes serves the file."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from mmsb.errors import ConfigError, ModelError
from mmsb.generator.base import Drawn, Order
from mmsb.generator.diffusers import Diffusers
from mmsb.generator.replica import Share as DrawingShare
from mmsb.image_mode.typography import TypedText
from mmsb.model.base import Reply
from mmsb.model.hf import HF
from mmsb.picture import FilePicture
from mmsb.replicas.cluster import ADDRESS, Room, begin, threads_of
from mmsb.replicas.pool import _pools, spread
from mmsb.types import Outcome, Prompt, Response
from tests.conftest import ROOT, Run
from tests.forks import forking
from tests.small_diffusion import SIDE, save_small_sdxl
from tests.test_launchers import ECHO, SWEEP

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(diffusers|ray)\..*"),
    pytest.mark.filterwarnings(r"ignore::FutureWarning:(diffusers|ray)\..*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Ray's own processes
]

# The first of all runs dies once, as a preempted one does.
DIES = """\
                if not Path("died").exists():
                    Path("died").touch()
                    os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster of two nodes of one core and one GPU each."""
    from ray.cluster_utils import Cluster

    from mmsb.replicas.pool import end

    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "executable", forking(tmp_path_factory.mktemp("ray"), "default_worker.py"))
    # Ray believes what it is told, and hides from each task what is not its own: no GPU is needed for that.
    alone = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1, **alone})
    cluster.add_node(num_cpus=1, num_gpus=1)
    patch.setenv("RAY_ADDRESS", cluster.address)
    try:
        yield cluster
    finally:
        end()
        cluster.shutdown()
        patch.undo()


def kill_a_replica() -> None:
    """One that has been opened."""
    (pool,) = _pools.values()
    actor = next(seat.actor for seat in pool.seats if seat.opened)
    os.kill(ray.get(actor.__ray_call__.remote(lambda _: os.getpid())), signal.SIGKILL)


def content(outcome: Outcome) -> Outcome:
    return dataclasses.replace(outcome, seconds=0.0) if isinstance(outcome, Response) else outcome


def by_text(replies: Iterable[Reply]) -> dict[tuple[str, bool], Outcome]:
    return {(prompt.text, prompt.image is None): content(outcome) for prompt, outcome in replies}


def pixels(drawn: Iterable[Drawn]) -> dict[str, bytes]:
    return {item.name: np.asarray(image).tobytes() for item, image in drawn if isinstance(image, Image.Image)}


def test_a_cluster_is_joined_only_where_it_is_named_and_one_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    threads: list[threading.Thread] = []

    def init(address: str, **_: object) -> None:
        asked.append(address)
        threads.append(threading.current_thread())

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr("mmsb.replicas.cluster._told", str)
    monkeypatch.delenv(ADDRESS, raising=False)
    begin("model.replicas")
    monkeypatch.setenv(ADDRESS, "auto")
    begin("model.replicas")
    # The thread of a run, which ends with it, would take the cluster with it: Ray's processes die with what began them.
    assert all(thread.is_alive() and thread.daemon for thread in threads)
    assert asked == ["local", "auto"]  # Ray's words: one of our own whatever runs here, and the one that runs here
    monkeypatch.undo()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and listens to none
        monkeypatch.setenv(ADDRESS, f"127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        with pytest.raises(ConfigError, match=r"RAY_ADDRESS=127\.0\.0\.1:\d+, but no Ray cluster .* refused") as told:
            begin("model.replicas")
    assert "RAY_AUTH_MODE=token" in told.value.remedy  # which Ray's own error does not say

    def never(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup.")  # as Ray has it

    monkeypatch.delenv(ADDRESS)
    monkeypatch.setattr(ray, "init", never)
    with pytest.raises(ModelError, match="Ray does not begin on this machine: The current node timed out"):
        begin("model.replicas")


def test_replicas_without_a_gpu_compute_with_this_process_s_threads() -> None:
    """One thread more or less changed the last bits of sums, and with them a picture."""

    class Counting:
        def draw(self, batches: Iterable[Any]) -> Iterator[tuple[Any, int]]:
            yield from ((batch, torch.get_num_threads()) for batch in batches)

    def drawn(room: Room) -> list[Any]:
        return DrawingShare(cast("Any", Counting()), threads_of(room)).work(())

    with ThreadPoolExecutor(1) as thread:  # which has Ray's number, where it is an actor's
        mine = torch.get_num_threads()
        thread.submit(torch.set_num_threads, mine + 1).result()
        assert thread.submit(drawn, Room("", 2, 1, gpus=1)).result() == [mine + 1]
        torch.set_num_threads(mine)
        assert thread.submit(
            DrawingShare(cast("Any", Counting()), threads_of(Room("", 2, 1, 0))).work, ()
        ).result() == [mine]


def test_runs_of_a_sweep_have_a_gpu_each_and_one_whose_process_dies_begins_again(
    mmsb_fork: Run, tmp_path: Path, nodes: Any
) -> None:
    (line,) = [line for line in ECHO.splitlines(keepends=True) if line.lstrip().startswith("yield")]
    (tmp_path / "echoing.py").write_text("import os\nfrom pathlib import Path\n" + ECHO.replace(line, DIES + line))
    there = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "RAY_ADDRESS": nodes.address}
    done = mmsb_fork(*SWEEP, "image_mode=text_only,typo,sd", "tracker=none", "hydra/launcher=ray", **there)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "died").exists()
    runs = [json.loads(path.read_text()) for path in tmp_path.rglob("run.json")]
    assert len(runs) == 3
    assert {run["record"]["environment"]["visible_gpus"] for run in runs} == {"0"}  # each node's one, no other
    assert {run["metrics"]["n/failed"] for run in runs} == {0}
    assert "Sweep of 3 runs" in done.stdout


def test_what_dies_costs_its_batches_and_changes_no_answer_and_no_picture(
    small_llava: Path, tmp_path: Path, nodes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    TypedText("look").load().save(tmp_path / "a.png")
    prompts = [Prompt(f"list {n} steps", FilePicture(tmp_path / "a.png") if n % 2 else None) for n in range(24)]
    one = HF(  # in half precision and with sampling an answer depends on its batch
        name="small",
        name_or_path=str(small_llava),
        dtype="bfloat16",
        device="cpu",
        backend="pil",
        max_new_tokens=12,
        batch_size=2,
        threads=1,
        generation={"do_sample": True},
    )
    batches = list(one.batches(prompts))
    alone = by_text(one.generate(batches))
    assert len({outcome.text for outcome in alone.values() if isinstance(outcome, Response)}) > 12

    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    two = dataclasses.replace(one, replicas=2)
    replies = two.generate(batches)
    with ThreadPoolExecutor(1) as thread:  # as in a run, whose main thread waits for signals
        first = thread.submit(next, replies).result()
    os.kill(os.getpid(), signal.SIGTERM)  # which Ray would have end this process, in a way of its own
    signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGTERM]
    kill_a_replica()
    assert by_text([first, *replies]) == alone
    said = capsys.readouterr().err
    assert f"ray: joined the cluster of RAY_ADDRESS={nodes.address}: 2 CPUs and 2 GPUs on 2 nodes" in said
    assert "a replica died" in said

    drawer = Diffusers(
        name_or_path=str(save_small_sdxl(tmp_path / "sdxl")), width=SIDE, height=SIDE, steps=1, device="cpu"
    )
    orders = [tuple(Order(f"s/{n}{k}", "bread", n + k) for k in (0, 1)) for n in range(0, 8, 2)]
    drawings = dataclasses.replace(drawer, replicas=2).draw(orders)
    drawn = next(drawings)
    kill_a_replica()
    assert pixels([drawn, *drawings]) == pixels(drawer.draw(orders))
    assert "a replica died" in capsys.readouterr().err

    replies = two.generate(batches)
    first = next(replies)
    nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
    assert by_text([first, *replies]) == alone

    with pytest.raises(ConfigError, match=r"replicas=3 needs 3 CPUs; the cluster has \d") as refused:
        list(dataclasses.replace(one, replicas=3).generate(batches))
    # A node that was removed is counted until the cluster has noticed.
    left = refused.value.problem[-1]
    assert refused.value.remedy == f"model.replicas={left}, or start more nodes first."


def test_where_rays_own_agent_dies_what_waits_for_it_ends_and_says_so(
    tmp_path: Path, nodes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last of this file, whose cluster it takes down. Ray itself would wait for ever, or end this process."""

    begin("model.replicas")
    launcher = importlib.import_module("hydra_plugins.mmsb_ray_launcher").RayLauncher(1, 0, 0)
    launcher.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "run.json").touch()  # a run whose end Ray could not tell any more
    waiting = ray.remote(num_gpus=9)(lambda: 0).remote()
    nodes.head_node.kill_raylet()
    with pytest.raises(ModelError, match=r"Ray's agent on this machine \(raylet\) died"):
        next(spread(cast("Any", SimpleNamespace(fingerprint=dict)), [()], Room("model.replicas", 1, 1, 0)))
    assert len(list(launcher._results({3: waiting, 4: waiting}))) == 2
    assert "error: Ray's agent on this machine (raylet) died" in capsys.readouterr().err
    assert [path.parent.name for path in tmp_path.rglob("error.txt")] == ["4"]
