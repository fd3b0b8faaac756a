"""What `help` says: every argument of every public name, errors, and an example that runs."""

import doctest
import inspect
import os
import pathlib

import numpy as np
import pandas as pd
import pytest
from trees import plain_tree

import fastaug
from fastaug.show.command import described

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

METHODS = (
    "flow",
    "flow_from_directory",
    "flow_from_dataframe",
    "fit",
    "standardize",
    "get_random_transform",
    "apply_transform",
    "random_transform",
    "apply",
    "batch_function",
)
PUBLIC = {name: getattr(fastaug, name) for name in fastaug.__all__}
PUBLIC |= {
    f"ImageDataGenerator.{name}": getattr(fastaug.ImageDataGenerator, name) for name in METHODS
}
PUBLIC |= {"SysMonitor.plot": fastaug.SysMonitor.plot}
PUBLIC |= {
    f"NumpyArrayIterator.{name}": getattr(fastaug.NumpyArrayIterator, name)
    for name in ("to_tf", "to_torch")
}
NEEDS = {"NumpyArrayIterator.to_tf": "tensorflow", "NumpyArrayIterator.to_torch": "torch"}


def parameters(thing):
    """The parameters of a function or of what makes an object."""
    if thing is fastaug.UsageWarning:
        return []
    found = inspect.signature(thing).parameters.values()
    stars = {inspect.Parameter.VAR_KEYWORD: "**", inspect.Parameter.VAR_POSITIONAL: "*"}
    return [stars.get(each.kind, "") + each.name for each in found if each.name != "self"]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_is_described(name):
    assert list(described(PUBLIC[name])) == parameters(PUBLIC[name])


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_and_result_has_a_type(name):
    thing = PUBLIC[name]
    if thing is fastaug.UsageWarning:
        return
    signature = inspect.signature(thing)
    for each in signature.parameters.values():
        assert each.name == "self" or each.annotation is not each.empty, each
    if not isinstance(thing, type):
        assert signature.return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize(
    ("flow", "iterator"),
    [
        ("flow", fastaug.NumpyArrayIterator),
        ("flow_from_directory", fastaug.DirectoryIterator),
        ("flow_from_dataframe", fastaug.DataFrameIterator),
    ],
)
def test_a_flow_and_its_iterator_say_the_same(flow, iterator):
    of_flow, of_iterator = described(PUBLIC[f"ImageDataGenerator.{flow}"]), described(iterator)
    for name in of_flow.keys() & of_iterator.keys():
        assert of_flow[name] == of_iterator[name], name
    defaults = inspect.signature(iterator).parameters
    for each in inspect.signature(PUBLIC[f"ImageDataGenerator.{flow}"]).parameters.values():
        if each.name in defaults and each.name not in ("shuffle", "y"):
            assert each.default == defaults[each.name].default, each.name


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_runs(name, tmp_path, monkeypatch):
    """In a folder with photographs, with images `x` and labels `y`."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    plain_tree(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = {
        "fastaug": fastaug,
        "np": np,
        "os": os,
        "pandas": pd,
        "pathlib": pathlib,
        "x": rng.integers(0, 256, (10, 32, 32, 3)).astype("uint8"),
        "y": np.arange(10),
        "generator": fastaug.ImageDataGenerator(),
    }
    text = inspect.getdoc(PUBLIC[name])
    assert "Example:\n" in text
    example = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    assert example.examples
    report = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=flags).run(example, out=report.append, clear_globs=False)
    for value in example.globs.values():
        if isinstance(value, fastaug.Iterator):
            value.close()
    matplotlib.pyplot.close("all")
    assert not report, "".join(report)
