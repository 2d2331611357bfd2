"""What an interpolation `${mmsb....}` in YAML gives, for the protocols that presets declare (`mmsb.model.protocol`)."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

AUTHORS = "authors"
TARGET = "model"  # the config group whose model follows `protocol=`


def selected(*, _parent_: DictConfig, _root_: DictConfig) -> str:
    """`${mmsb.protocol:}`: the run's protocol for its target; the authors' for judges, helpers and other commands."""
    chosen: str = _root_.get("protocol", AUTHORS) if _parent_._get_full_key(None) == TARGET else AUTHORS
    return chosen


def of_protocol(key: str, *, _parent_: DictConfig) -> Any:
    """`${mmsb.of_protocol:KEY}`: a value of the selected protocol; the authors' where it has none of its own."""
    # `select` and not an index: a protocol that has no value of its own is no error, it follows the authors'.
    found = OmegaConf.select(_parent_, f"protocols.{_parent_.protocol}.{key}")
    return OmegaConf.select(_parent_, f"protocols.{AUTHORS}.{key}") if found is None else found


OmegaConf.register_new_resolver("mmsb.protocol", selected, replace=True)
OmegaConf.register_new_resolver("mmsb.of_protocol", of_protocol, replace=True)
