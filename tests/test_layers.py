"""The rooms of the package stand in layers; imports point down, and no two files import one another in a circle.

Imports inside functions count (they are real), those for type checking alone do not.
"""

from __future__ import annotations

import grimp
import networkx as nx
import pytest

# From the top down. A room (or a file named by itself) imports what stands below it, never its neighbours on the line.
LAYERS = (
    ("api",),
    (
        "__main__",
        "judge.__main__",
        "convert.__main__",
        "models",
        "calibrate",
        "clean",
        "compare",
        "create",
        "export",
        "faults",
        "log",
        "plan",
        "review",
        "status",
        "ui",
        "view",
    ),
    ("command", "preflight"),
    ("sweep",),
    ("judge.rejudge",),
    ("judge.authors_files",),
    ("labels", "report", "tracker"),
    ("terminal",),
    ("experiment", "judge.finished"),
    ("recording",),
    ("comparable", "notes", "question_check", "spending"),
    ("defense",),
    ("judge",),
    ("convert.conversion",),
    ("convert.write",),
    ("tracker.base",),
    ("driver", "generator"),
    ("pipeline",),
    ("rounds",),
    ("cost", "metrics", "run", "report.published"),
    ("calls", "results"),
    ("flow", "store"),
    ("model",),
    ("convert", "image_mode"),
    ("dataset", "replies"),
    ("bill",),
    ("cli",),
    ("error_messages", "hydra_app", "usage"),
    ("completion", "config_loader"),
    ("config_rules",),
    ("override_rules",),
    ("budget",),
    ("schemas",),
    ("types",),
    ("prices", "scenario", "withholding"),
    ("serve",),
    ("config",),
    ("font",),
    ("replicas",),
    ("claims", "index"),
    ("hub", "interrupts", "picture", "progress", "console", "secret", "resolvers"),
    ("file_digests",),
    ("own", "targets", "texts", "digest", "layout", "outside", "pieces", "scripts", "written"),
    ("appender", "gpus"),
    ("paths", "errors", "processes", "unread"),
)
PLACES = {name: number for number, layer in enumerate(LAYERS) for name in layer}


@pytest.fixture(scope="module")
def imports() -> nx.DiGraph[str]:
    """Which module imports which, without the package's name in front."""
    found = grimp.build_graph("mmsb", exclude_type_checking_imports=True, cache_dir=None)
    graph: nx.DiGraph[str] = nx.DiGraph()
    for module in found.modules:
        for imported in found.find_modules_directly_imported_by(module):
            graph.add_edge(module.removeprefix("mmsb."), imported.removeprefix("mmsb."))
    return graph


def room(module: str) -> str:
    """The longest part of a module's path that has a layer."""
    while module not in PLACES and "." in module:
        module = module.rpartition(".")[0]
    return module


def test_every_room_has_one_layer(imports: nx.DiGraph[str]) -> None:
    assert len(PLACES) == sum(map(len, LAYERS))
    assert {room(module) for module in imports} - set(PLACES) == {"mmsb"}  # its face: a version, no imports


def test_imports_point_down(imports: nx.DiGraph[str]) -> None:
    upwards = {
        (importer, imported)
        for importer, imported in imports.edges
        if room(importer) != room(imported) != "mmsb" and PLACES[room(importer)] >= PLACES[room(imported)]
    }
    assert upwards == set()


def test_there_are_no_circles(imports: nx.DiGraph[str]) -> None:
    assert [sorted(part) for part in nx.strongly_connected_components(imports) if len(part) > 1] == []
