"""How a server is started, as its preset says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from mmsb.config import settings
from mmsb.errors import ConfigError, ModelError

HOST = "127.0.0.1"  # a server of our own is nobody else's
FIELD = re.compile(r"\{(\w+)\}")


@settings
class Server:
    """A server's command line. In `command`, `address`, `parallel` and `environment` stand {name}, {host}, {port} ...

    Attributes:
        command: the program and the model: also what a person is told to type where nothing answers.
        address: how it is told where to listen.
        parallel: how it is told of several GPUs: {tensor_parallel} for each copy, {data_parallel} copies.
        tensor_parallel: GPUs that one copy of the model is spread over; the visible ones are shared out among copies.
        arguments: further ones of your own.
        environment: variables that it is given.
        health: the path that answers 200 once it is ready.
        within: seconds until it must be; a download of weights counts.
        install: what is told where the program is missing.
        logs: the folder for what it prints.
    """

    command: tuple[str, ...]
    address: tuple[str, ...] = ()
    parallel: tuple[str, ...] = ()
    tensor_parallel: PositiveInt = 1
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    health: str = "/health"
    within: PositiveFloat = 1800
    install: str = ""
    logs: Path = Path("outputs/servers")

    @field_validator("arguments", mode="before")
    @classmethod
    def _as_typed(cls, value: Any) -> Any:
        """A number, as in [--max-model-len,8192], is what the server's own command line would have."""
        if not isinstance(value, list | tuple):
            return value
        return [str(part) if type(part) in (int, float) else part for part in value]

    def start_command(self, name: str) -> str:
        """What a person types to serve the model."""
        return shlex.join(_filled(self.command, {"name": name}))

    def missing(self, name: str) -> ModelError | None:
        """What to do about the program, where it is not on this machine's PATH."""
        return None if shutil.which(self.command[0]) else self.absent(name)

    def absent(self, name: str) -> ModelError:
        """What to do about the program that is not there."""
        return ModelError(
            f"model.serve=true starts {self.start_command(name)}, which is not there",
            f"{self.install} Or start the server elsewhere and set base_url.".strip(),
        )

    def too_wide(self, gpus: int) -> ConfigError | None:
        """What to do where one copy of the model needs more GPUs than there are."""
        if self.tensor_parallel <= max(gpus, 1):
            return None
        return ConfigError(
            f"server.tensor_parallel={self.tensor_parallel}, but a run sees {gpus} GPU{'s' * (gpus != 1)}",
            "Lower it, or see CUDA_VISIBLE_DEVICES; runs side by side (hydra/launcher) have one GPU each.",
        )

    def argv(self, name: str, port: int, gpus: int) -> list[str]:
        """The command line.

        Args:
            name: of the model.
            port: where it listens.
            gpus: how many it sees.

        Raises:
            ConfigError: one copy needs more GPUs than there are.
        """
        # As many whole copies as fit: a request needs one copy, and GPUs left over would only idle.
        copies = gpus // self.tensor_parallel
        if error := self.too_wide(gpus):
            raise error
        values = {
            **self._place(name, port),
            "tensor_parallel": str(self.tensor_parallel),
            "data_parallel": str(max(copies, 1)),
        }
        parts = (*self.command, *self.address, *(self.parallel if gpus > 1 else ()))
        return [*_filled(parts, values), *self.arguments]

    def variables(self, name: str, port: int) -> dict[str, str]:
        """The variables that it is given."""
        place = self._place(name, port)
        return {key: _filled((value,), place)[0] for key, value in self.environment.items()}

    def _place(self, name: str, port: int) -> dict[str, str]:
        return {"name": name, "host": HOST, "port": str(port)}


def _filled(parts: tuple[str, ...], values: dict[str, str]) -> list[str]:
    """One pass: what a name holds is never read again."""
    return [FIELD.sub(lambda match: values.get(match[1], match[0]), part) for part in parts]
