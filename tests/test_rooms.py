"""The rooms of the package: imports go down only; decode processes have the lower ones alone."""

import ast
import pathlib
import re
import sys

import pytest
import trees
from scripts import check_script

import fastaug

PACKAGE = pathlib.Path(fastaug.__file__).parent

#: From the top down: who is further up may import what is further down. `show` is on top, as the
#: command line and its page are a user's programs: they make generators, and nobody needs them.
ORDER = ("show", "keras_api", "adapters", "program", "ops", "data", "run", "_core", "defaults")

#: Modules that anybody may import, and that import each other at most.
LEAVES = ("log", "opencv", "typing", "warn")

#: The public names and the command line: nobody imports them, and they import what they like.
DOORS = ("__init__", "__main__")

ROOMS = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
INSIDE = [path for path in MODULES if path.parts[0].removesuffix(".py") not in DOORS]


def floor_of(name):
    """How far down a part of the package is."""
    return len(ORDER) if name in LEAVES else ORDER.index(name)


def imported(code):
    """Yields all that some code imports, in functions, for type checkers and for programs, too."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports tell the whole name"
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for module, name in re.findall(r"from (fastaug[\w.]*) import (\w+)", node.value):
                yield f"{module}.{name}"


def part_of(name):
    """The room or the module at the root that an imported name of fastaug is in."""
    part = name.split(".")[1]
    return fastaug._HOMES[part].split(".")[0] if part in fastaug._HOMES else part


def upward(part, code):
    """What some code in a part of the package imports of those above it."""
    found = [name for name in imported(code) if name.split(".")[0] == "fastaug"]
    assert "fastaug" not in found, "parts of the package name what they import"
    return [name for name in found if floor_of(part_of(name)) < floor_of(part)]


@pytest.mark.parametrize("path", INSIDE, ids=str)
def test_imports_go_down(path):
    assert upward(path.parts[0].removesuffix(".py"), (PACKAGE / path).read_text()) == []


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("data", "from fastaug.keras_api.order import Order"),
        ("data", "def f():\n    import fastaug.keras_api.order"),
        ("run", "if TYPE_CHECKING:\n    from fastaug.data import decode"),
        ("keras_api", "from fastaug import plot_images"),
        ("run", "CODE = 'from fastaug.data.readers import serve'"),
        ("defaults", "from fastaug import _core"),
        ("warn", "from fastaug.defaults import floatx"),
    ],
)
def test_what_goes_up_is_found(part, code):
    assert len(upward(part, code)) == 1


def test_every_part_has_a_place():
    at_the_root = [path.stem for path in PACKAGE.glob("*.py*") if path.suffix != ".pyx"]
    parts = {*ROOMS, *at_the_root} - {"py"}
    assert parts == {*ORDER, *LEAVES, *DOORS}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_s_own_module_is_its_description(room):
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def asked_of_a_generator(code):
    """The methods of a generator that some code calls."""
    return {
        node.func.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value).endswith("generator")
    }


def test_what_a_generator_needs_calls_only_what_a_subclass_may_have_changed():
    """It gets values; image by image, whoever has methods of their own is asked for them."""
    called = set()
    for path in MODULES:
        if path.parts[0] == "keras_api":
            called |= asked_of_a_generator((PACKAGE / path).read_text())
    called &= set(dir(fastaug.ImageDataGenerator))  # of those of other kinds
    own = {"get_random_transform", "apply_transform", "standardize"}
    assert own | {"_overrides_methods"} == called


def test_keras_is_imported_in_one_place():
    def imports_keras(path):
        tree = ast.parse((PACKAGE / path).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = [ast.Pass()]
        return any(name.split(".")[0] == "keras" for name in imported(ast.unparse(tree)))

    assert [str(path) for path in MODULES if imports_keras(path)] == ["defaults.py"]


def test_what_runs_knows_no_images():
    for path in PACKAGE.glob("run/*.py"):
        tops = {name.split(".")[0] for name in imported(path.read_text())}
        assert not tops & {"PIL", "cv2", "scipy", "pandas"}, path


@pytest.mark.parametrize("suffix", ["pyx", "pyi"])
def test_the_core_imports_nothing_of_the_package(suffix):
    text = (PACKAGE / f"_core.{suffix}").read_text()
    lines = re.findall(r"^\s*(?:from (\w+)[\w.]* c?import|c?import (\w+))", text, re.MULTILINE)
    tops = {first or second for first, second in lines}
    assert {"numpy"} <= tops <= {"cpython", "libc", "cython", "numpy", *sys.stdlib_module_names}


#: Notes what a process imports, but not in the one that puts this into the environment.
NOTING = """
import os, sys

class Noting:
    def find_spec(self, name, path=None, target=None):
        with open(os.environ["IMPORTED"], "a") as log:
            print(name, file=log)

sys.meta_path.insert(0, Noting())
"""


def test_decode_processes_have_the_lower_rooms_alone(tmp_path):
    (tmp_path / "noting").mkdir()
    (tmp_path / "noting" / "sitecustomize.py").write_text(NOTING)
    root = trees.plain_tree(tmp_path / "tree")
    check_script(
        """
        import os, sys
        import fastaug
        os.environ["PYTHONPATH"], os.environ["IMPORTED"] = sys.argv[2:]
        generator = fastaug.ImageDataGenerator(rotation_range=20, workers=1)
        flow = generator.flow_from_directory(
            sys.argv[1], target_size=(9, 8), batch_size=5, decoder="processes")
        with flow:
            for _ in range(len(flow)):
                next(flow)
        """,
        keras=True,
        arguments=[root, tmp_path / "noting", tmp_path / "imported"],
    )
    names = set((tmp_path / "imported").read_text().split())
    parts = {name.split(".")[1] for name in names if name.startswith("fastaug.")}
    assert {"data", "run", "_core"} <= parts
    assert parts <= {"data", "run", "_core", "defaults", *LEAVES}
    tops = {name.split(".")[0] for name in names}
    assert "PIL" in tops
    assert not tops & {"keras", "tensorflow", "jax", "torch", "scipy", "pandas", "matplotlib"}
