"""What a cold command does not wait for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_loading_weights_imports_neither_torchs_compiler_nor_sympy():
    run(
        "import sys\nfrom mvgamba_ros.model.checkpoint import load_checkpoint\nload_checkpoint()\n"
        "late = [m for m in ('torch._dynamo', 'sympy', 'torch._inductor') if m in sys.modules]\nassert not late, late\n"
    )


def test_open3d_comes_without_a_web_server_where_nothing_plots():
    run(
        "import sys\nfrom mvgamba_ros.process import spare_plotting\nspare_plotting()\nimport open3d\n"
        "late = [m for m in ('dash', 'plotly', 'IPython') if m in sys.modules]\nassert not late, late\n"
        "assert len(open3d.geometry.TriangleMesh.create_box().triangles) == 12\n"
        "try:\n    open3d.visualization.draw_plotly([])\n"
        "except ImportError as error:\n    assert 'spare_plotting' in str(error)\nelse:\n    raise AssertionError\n"
    )


def test_a_process_that_has_open3d_keeps_its_plots():
    run(
        "import sys, types\nsys.modules['open3d'] = types.ModuleType('open3d')\n"
        "from mvgamba_ros.process import spare_plotting\nspare_plotting()\n"
        "assert 'open3d.visualization.draw_plotly' not in sys.modules\n"
    )


def test_packages_are_searched_for_extensions_once():
    run(
        "import importlib.metadata as m\ncalls, real = [], m.entry_points\n"
        "m.entry_points = lambda *a, **k: calls.append(1) or real(*a, **k)\n"
        "from mvgamba_ros.registry import available\n"
        "names = [available(kind) for kind in ('methods', 'segmenters', 'generators', 'capture_readers')]\n"
        "assert len(calls) == 1 and 'mvgamba' in names[0]\n"
    )


def test_grasps_of_a_result_wait_for_neither_torch_nor_a_web_server():
    run(
        "import sys\nfrom mvgamba_ros.cli import main\n"
        "from pathlib import Path\nfrom tempfile import TemporaryDirectory\n"
        "with TemporaryDirectory() as folder:\n    path = Path(folder, 'box.ply')\n"
        "    import trimesh\n    trimesh.creation.box((0.05, 0.06, 0.2)).export(path)\n"
        "    assert main(['grasps', str(path), '-q', '--set', 'tried=4', '--set', 'shapes=1']) == 0\n"
        "    assert Path(folder, 'box_grasps.png').is_file()\n"
        "late = [m for m in ('torch', 'dash', 'plotly', 'IPython') if m in sys.modules]\n"
        "assert not late, late\n"
    )


def test_the_command_line_is_read_with_nothing_heavier_than_numpy():
    run(
        "import sys\nfrom mvgamba_ros.cli import build_parser\n"
        "build_parser().parse_args(['reconstruct', 'capture', '-o', 'out', '--roi', *'001122'])\n"
        "heavy = 'torch', 'scipy', 'cv2', 'open3d', 'trimesh', 'omegaconf', 'rich', 'PIL', 'rclpy', 'viser'\n"
        "late = [m for m in heavy if m in sys.modules]\nassert not late, late\n"
    )


def test_what_no_network_of_ours_asks_for_is_loaded_at_its_first_use():
    run(
        "import sys\nfrom mvgamba_ros.lean_imports import SPARED, spare_unused\nspare_unused()\n"
        "from mvgamba_ros.model.checkpoint import load_checkpoint\nimport scipy.linalg\nload_checkpoint()\n"
        "late = [m for m in SPARED if '__getattr__' not in vars(sys.modules[m])]\nassert not late, late\n"
        "assert 'torch._decomp' not in sys.modules\n"
        "import torch, numpy\nassert torch.distributions.Normal(0.0, 1.0).mean == 0\n"
        "assert callable(numpy.f2py.run_main)\n"
    )


def test_torchs_compiler_finds_arithmetic_without_values_although_that_was_spared():
    run(
        "from mvgamba_ros.lean_imports import spare_unused\nspare_unused()\nimport torch\n"
        "points = torch.empty(4, 3, device='meta')\n"
        "try:\n    torch.cdist(points, points)\nexcept NotImplementedError:\n    pass\n"
        "else:\n    raise AssertionError('nothing was spared')\n"
        "program = torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(4, 3),))\n"
        "assert program.module()(torch.zeros(4, 3)).shape == (4, 2)\n"
        "assert torch.cdist(points, points).shape == (4, 4)\n"
    )


def test_only_where_all_that_is_chosen_comes_with_this_package_torch_is_spared():
    run(
        "from mvgamba_ros.cli import build_parser\nfrom mvgamba_ros.cli.reconstruct import _own_networks_alone\n"
        "ours = build_parser().parse_args(['reconstruct', 'capture', '-o', 'out'])\n"
        "assert _own_networks_alone(ours)\n"
        "for name, other in (('reader', 'theirs'), ('method', 'theirs'), ('segmenter', 'theirs'),\n"
        "                    ('segmenter', 'sam'), ('generator', 'lathe')):\n"
        "    kept = getattr(ours, name)\n    setattr(ours, name, other)\n"
        "    assert not _own_networks_alone(ours), (name, other)\n    setattr(ours, name, kept)\n"
    )


def test_a_part_of_what_was_spared_is_imported_as_ever_and_once():
    run(
        "import sys\nfrom mvgamba_ros.lean_imports import spare_unused\nspare_unused()\nimport torch\n"
        "from torch.distributions.normal import Normal\n"
        "assert Normal is torch.distributions.Normal is sys.modules['torch.distributions.normal'].Normal\n"
        "from importlib.machinery import SourceFileLoader as Files\nruns, real = [], Files.exec_module\n"
        "Files.exec_module = lambda self, module: runs.append(module.__name__) or real(self, module)\n"
        "import torch._decomp, torch.export.graph_signature\n"
        "assert torch._decomp.decomposition_table and torch.export.export\n"
        "assert {'torch._decomp', 'torch._meta_registrations', 'torch.export'} <= set(runs)\n"
        "twice = {name for name in runs if runs.count(name) > 1}\nassert not twice, twice\n"
    )


def test_all_names_of_a_spared_package_are_there_for_who_takes_all():
    run(
        "from mvgamba_ros.lean_imports import spare_unused\nspare_unused()\nimport torch\n"
        "from torch.distributions import *\nassert Normal is torch.distributions.Normal\n"
    )


def test_a_spared_module_that_cannot_be_loaded_says_why_each_time_it_is_asked(tmp_path: Path):
    (tmp_path / "broken.py").write_text("half = 1\nimport nowhere_at_all\n")
    run(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "from mvgamba_ros import lean_imports\nlean_imports.SPARED += ('broken',)\nlean_imports.spare_unused()\n"
        "import broken\n"
        "for _ in range(2):\n"
        "    try:\n        broken.whole\n"
        "    except ModuleNotFoundError as error:\n        assert error.name == 'nowhere_at_all'\n"
        "    else:\n        raise AssertionError\n"
    )


def test_a_command_that_does_one_job_rarely_searches_for_cycles():
    run(
        "import gc\nfrom mvgamba_ros.cli import main\nusual = gc.get_threshold()\n"
        "assert main(['reconstruct', '/nowhere', '-o', '/nowhere']) == 1\n"
        "assert gc.isenabled() and gc.get_threshold() > usual\n"
    )
