"""What a user installs: a manylinux wheel in a fresh environment, and a checkout in place.

python -m pytest -m packages    # three minutes, and the package index
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest
from trees import plain_tree

import fastaug

pytestmark = pytest.mark.packages

ROOT = pathlib.Path(__file__).parent.parent

SMOKE = """
import sys
import numpy as np
import fastaug

x = np.zeros((40, 32, 32, 3), "uint8")
generator = fastaug.ImageDataGenerator(rotation_range=20, rescale=1 / 255, workers=2)
with generator.flow(x, np.arange(40), batch_size=8, seed=1) as flow:
    images, labels = next(flow)
assert images.shape == (8, 32, 32, 3) and labels.shape == (8,)
with generator.flow_from_directory(sys.argv[1], target_size=(16, 16), batch_size=5) as flow:
    images, labels = next(flow)
assert images.shape == (5, 16, 16, 3) and labels.shape == (5, 3) and images.max() > 0.5
assert "site-packages" in fastaug.__file__ or "editable" in sys.argv
print(fastaug.__version__)
"""


def run(*arguments, **options):
    done = subprocess.run(
        list(map(os.fspath, arguments)),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200, check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout, by the name that `git clone` gives it, without what was built."""
    tree = tmp_path_factory.mktemp("home") / "fastaug"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.so", "_core.c")
    shutil.copytree(ROOT, tree, ignore=ignored)
    return tree


@pytest.fixture
def python(tmp_path):
    """The interpreter of a fresh environment."""
    venv.create(tmp_path / "environment", with_pip=True)
    return tmp_path / "environment" / "bin" / "python"


@pytest.fixture
def photos(tmp_path):
    return plain_tree(tmp_path / "photos")


@pytest.mark.skipif(sys.platform != "linux", reason="manylinux is Linux's")
def test_a_manylinux_wheel(checkout, python, photos, tmp_path):
    pytest.importorskip("auditwheel")
    run(sys.executable, "-m", "pip", "wheel", checkout, "--no-deps", "-w", tmp_path)
    (built,) = tmp_path.glob("*.whl")
    folder = sysconfig.get_path("scripts")
    run(sys.executable, "-c",
        "import os, sys; os.environ['PATH'] = sys.argv.pop(1) + os.pathsep + os.environ['PATH'];"
        "from auditwheel.main import main; sys.exit(main())",
        folder, "repair", "--strip", "-w", tmp_path / "repaired", built)  # fmt: skip
    (wheel,) = (tmp_path / "repaired").glob("*.whl")
    assert re.match(rf"fastaug-{re.escape(fastaug.__version__)}-.*manylinux_2_\d+_", wheel.name)
    assert wheel.stat().st_size < 3_000_000
    run(python, "-m", "pip", "install", "-q", wheel)
    assert run(python, "-c", SMOKE, photos, cwd=tmp_path).endswith(f"{fastaug.__version__}\n")
    report = run(python, "-m", "fastaug", "check", photos, "--ignore", "tiny", cwd=tmp_path)
    assert "all is well" in report


def test_a_checkout_in_place_is_found_from_beside_it(checkout, python, photos):
    """There Python finds the checkout's folder first, which is no package."""
    run(python, "-m", "pip", "install", "-q", "-e", checkout)
    for folder in (checkout.parent, checkout):
        output = run(python, "-c", SMOKE, photos, "editable", cwd=folder)
        assert output.endswith(f"{fastaug.__version__}\n")
