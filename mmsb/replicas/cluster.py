"""The Ray cluster that replicas run in.

It is joined where RAY_ADDRESS names one or `ray start` began one on this machine; else Ray is begun here, and ends with
this process.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmsb.errors import ConfigError


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
    """Join the cluster, or begin one; `shown` says whether its processes print here.

    Raises:
        ConfigError: Ray is not installed; names the setting that needs it.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"{setting} needs Ray, which is not installed", "pip install 'mmsb[ray]'") from error
    if not ray.is_initialized():
        # No dashboard: it opens a port and starts processes that nobody asked for.
        ray.init(log_to_driver=shown, include_dashboard=False, logging_level="ERROR")


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
