"""What a `_target_` can name: classes declared with @settings, by the path where they are declared."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from mmsb import targets
from mmsb.config import build, settings
from mmsb.errors import ConfigError
from mmsb.image_mode import Font, ImageMode
from mmsb.scenario import Scenario

FONT = "mmsb.image_mode.Font"
MODE = {"_target_": "mmsb.image_mode.ImageMode", "name": "typo", "image": "TYPO", "question": "rephrased"}


@settings
class Holder:
    """Anything, to put targets into."""

    value: Any = None


HOLDER = f"{__name__}.Holder"
PACKAGES = ("mmsb", "tests")


def holding(value: Any) -> DictConfig:
    return OmegaConf.create({"_target_": HOLDER, "value": value})


def test_a_class_of_settings_is_built_wherever_it_stands() -> None:
    font = {"_target_": FONT, "size": 30}
    built = build(holding({"here": font, "there": [font, [{"deep": font}]]}), Holder, PACKAGES).value
    assert built == {"here": Font(size=30), "there": [Font(size=30), [{"deep": Font(size=30)}]]}


REFUSED = {
    "a function of the standard library": "os.system",
    "a function through a module that imports it": "mmsb.convert.weights.torch.load",
    "a function through a module of ours that is not loaded": "mmsb.model.memory_check.json.loads",
    "a module that does not exist": "mmsb.x.torch.load",
    "a function of ours": "mmsb.digest.digest",
    "a class of ours without @settings": "mmsb.store.Store",
    "a method": "mmsb.image_mode.Font.__init__",
    "a class of another package that we import": "mmsb.config.DictConfig",
    "a class of settings under a wrong path": "mmsb.image_mode.typography.Scenario",
    "a builtin through our module": "mmsb.config.__builtins__",
    "a module itself": "mmsb.config",
    "no dotted path": "Font",
    "two dots": "mmsb..image_mode.Font",
    "a relative path": ".image_mode.Font",
    "a package that only begins like ours": "mmsbx.image_mode.Font",
    "a number": 3,
    "a list": ["mmsb.image_mode.Font"],
    "nothing": None,
}


@pytest.mark.parametrize("target", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("place", ["root", "nested", "listed"])
def test_anything_else_is_refused_at_the_root_nested_and_in_lists(target: Any, place: str) -> None:
    node = {"_target_": target}
    config = OmegaConf.create(node) if place == "root" else holding([1, node] if place == "listed" else {"a": node})
    key = {"root": "", "nested": "value.a.", "listed": "value[1]."}[place]
    with pytest.raises(ConfigError) as raised:
        build(config, Holder, PACKAGES)
    assert f"{key}_target_={target} is not allowed" in raised.value.problem


def test_a_package_is_no_prefix_and_a_path_is_dotted() -> None:
    assert targets.within("mmsb.image_mode", ["mmsb"])
    assert not targets.within("mmsbx", ["mmsb"])
    assert not targets.within("mmsb", ["mmsb.image_mode"])
    for path in ("mmsb..image_mode.Font", "mmsb.image_mode.Font()", "mmsb.image_mode.Font\n"):
        with pytest.raises(ConfigError, match="no dotted path of a class"):
            targets.find(path, "font", PACKAGES)


def test_an_imported_class_is_named_by_where_it_is_declared() -> None:
    import mmsb.experiment  # noqa: F401 - it imports Scenario

    with pytest.raises(ConfigError) as raised:
        targets.find("mmsb.experiment.Scenario", "scenario", PACKAGES)
    assert "_target_=mmsb.scenario.Scenario" in raised.value.remedy
    assert targets.find("mmsb.scenario.Scenario", "scenario", PACKAGES) is Scenario


def test_an_interpolated_target_is_checked_as_it_resolves() -> None:
    config = OmegaConf.create({"_target_": HOLDER, "value": {"_target_": "${evil}"}, "evil": "os.system"})
    with pytest.raises(ConfigError, match=r"value\._target_=os\.system is not allowed"):
        build(config, Holder, PACKAGES)


def test_text_that_looks_like_an_interpolation_once_resolved_stays_text() -> None:
    config = OmegaConf.create({"_target_": HOLDER, "value": r"\${oc.env:HOME}"})
    assert build(config, Holder, PACKAGES).value == "${oc.env:HOME}"


@pytest.mark.parametrize("name", ["_partial_", "_args_", "_recursive_", "_convert_"])
def test_other_instructions_to_a_builder_are_unknown_settings(name: str) -> None:
    with pytest.raises(ConfigError, match=f"font.{name} is not a setting"):
        build(OmegaConf.create({**MODE, "font": {"_target_": FONT, name: [1]}}), ImageMode)


def test_a_class_put_in_the_place_of_a_registered_one_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "Holder", print)
    with pytest.raises(ConfigError, match="is not allowed"):
        build(holding(1), Holder, PACKAGES)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's package, whose modules leave a mark when they are imported."""
    package = tmp_path / "my_own_package"
    package.mkdir()
    mark = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text(
        f"{mark}from mmsb.config import settings\n@settings\nclass Mine:\n    a: int = 1\nclass Plain:\n    pass\n"
    )
    (package / "bad.py").write_text(f"{mark}import no_such_module_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.startswith("my_own_package")]:
        del sys.modules[name]


def test_a_users_class_needs_its_package_trusted(own: Path) -> None:
    config = OmegaConf.create({"_target_": "my_own_package.good.Mine", "a": 2})
    with pytest.raises(ConfigError, match="targets come from mmsb"):
        build(config, object)
    assert not (own / "good.ran").exists()
    assert vars(build(config, object, ("mmsb", "my_own_package"))) == {"a": 2}
    assert vars(build(config, object, ("my_own_package.good",))) == {"a": 2}


def test_a_users_class_without_settings_is_told_what_it_lacks(own: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        targets.find("my_own_package.good.Plain", "model", ("my_own_package",))
    assert "Declare Plain with @settings" in raised.value.remedy


def test_a_refused_path_imports_nothing_on_its_way(own: Path) -> None:
    for target in ("my_own_package.good.os.system", "my_own_package.bad.Path.touch", "my_own_package.none.X"):
        with pytest.raises(ConfigError, match="is not allowed"):
            targets.find(target, "model", ("my_own_package",))
    assert not list(own.glob("*.ran"))


def test_a_module_that_fails_is_an_error_for_people(own: Path) -> None:
    with pytest.raises(ConfigError, match=r"my_own_package\.bad cannot be imported: No module named"):
        targets.find("my_own_package.bad.X", "model", ("my_own_package",))


@settings
class Fussy:
    """Raises what a library would."""

    def __post_init__(self) -> None:
        """Not an error of ours."""
        raise KeyError("left out")


def test_an_error_of_a_library_while_building_names_the_key() -> None:
    with pytest.raises(ConfigError, match="value cannot be built: 'left out'"):
        build(holding({"_target_": f"{__name__}.Fussy"}), Holder, PACKAGES)


def test_every_error_names_its_whole_key_from_a_part_of_a_configuration() -> None:
    config = OmegaConf.create({"image_mode": {**MODE, "font": {"size": 0}}})
    with pytest.raises(ConfigError, match=r"image_mode\.font\.size=0: input should be greater"):
        build(config.image_mode, ImageMode)
