"""Names to implementations."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from gan import registry as module
from gan.data.sources.opening import SOURCES
from gan.errors import InputError
from gan.networks import FAMILIES, Family
from gan.objectives import OBJECTIVES, Objective
from gan.registry import Registry
from gan.settings import parameters


@pytest.mark.parametrize("registry", [FAMILIES, OBJECTIVES, SOURCES])
def test_everything_registered_can_be_imported(registry: Registry) -> None:
    assert len(registry) == len(list(registry)) > 0
    for name in registry:
        assert name in registry and registry[name].__doc__


@pytest.mark.parametrize(("registry", "kind"), [(FAMILIES, Family), (OBJECTIVES, Objective)])
def test_what_is_registered_is_of_its_kind_and_declares_its_settings(registry: Registry, kind: type) -> None:
    for name in registry:
        made = registry[name]()
        assert isinstance(made, kind)
        for setting, known in parameters(made).items():
            assert known.help
            assert known.check(setting, known.default) == known.default


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown objective 'wgam': did you mean 'wgan'"):
        OBJECTIVES["wgam"]
    with pytest.raises(InputError, match=r"unknown network 'zzz': there is .*dcgan"):
        FAMILIES["zzz"]


def test_another_package_can_add_names_but_not_replace_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("hinge", "gan.objectives.minimax:Minimax", "plugins"),
        EntryPoint("wgan", "gan.objectives.minimax:Minimax", "plugins"),
    ]
    monkeypatch.setattr(module, "entry_points", lambda group: points if group == "plugins" else [])
    registry = Registry("objective", "plugins", {"wgan": "gan.objectives.wgan:WGAN"})
    assert set(registry) == {"hinge", "wgan"}
    assert registry["hinge"].__name__ == "Minimax" and registry["wgan"].__name__ == "WGAN"


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    registry = Registry("objective", "none", {"broken": "gan.no_such_module:Nothing"})
    assert "broken" in registry and list(registry) == ["broken"]
    with pytest.raises(ModuleNotFoundError):
        registry["broken"]


@pytest.mark.parametrize("target", ["no_such_module:Part", "gan.objectives.wgan:NoSuchPart", "gan.objectives.wgan"])
def test_a_broken_part_of_another_package_is_named_in_one_line(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "entry_points", lambda group: [EntryPoint("broken", target, "plugins")])
    registry = Registry("objective", "plugins", {"wgan": "gan.objectives.wgan:WGAN"})
    with pytest.raises(InputError) as found:
        registry["broken"]
    assert f"objective 'broken' of another package cannot be loaded from {target} (" in str(found.value)
    assert "\n" not in str(found.value)
    assert registry["wgan"].__name__ == "WGAN"
