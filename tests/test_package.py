"""The package itself: what importing it brings in, how it does without Keras, its names."""

import importlib.metadata
import json
import pathlib
import shutil
import types

import keras
import numpy as np
import pytest
from reference import (
    TRANSFORM,
    assert_batches_equal,
    assert_same,
    flow_scenario,
    images,
    keras_image,
    keras_library,
    run,
    take,
)
from scripts import check_script, run_script

import fastaug

NAMES = {
    "ImageDataGenerator",
    "Iterator",
    "NumpyArrayIterator",
    "SysMonitor",
    "apply_affine_transform",
    "apply_brightness_shift",
    "apply_channel_shift",
    "array_to_img",
    "img_to_array",
    "load_img",
    "plot_images",
    "random_brightness",
    "random_channel_shift",
    "random_rotation",
    "random_shear",
    "random_shift",
    "random_zoom",
    "save_img",
}

# --------------------------------------------------------------------- names


def test_public_names():
    assert set(fastaug.__all__) >= NAMES
    assert len(set(fastaug.__all__)) == len(fastaug.__all__)
    assert set(fastaug.__all__) <= set(dir(fastaug))
    for name in fastaug.__all__:
        assert getattr(fastaug, name) is not None
        assert not isinstance(getattr(fastaug, name), types.ModuleType)


def test_a_star_import_brings_the_public_names():
    output = check_script(
        """
        from fastaug import *
        print(sorted(name for name in dir() if not name.startswith("_")))
        """
    )
    assert set(json.loads(output.replace("'", '"'))) >= NAMES


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="no_such_name"):
        fastaug.no_such_name  # noqa: B018
    with pytest.raises(ImportError, match="no_such_name"):
        from fastaug import no_such_name  # noqa: F401


def test_classes_know_where_they_live():
    for name in NAMES:
        assert getattr(fastaug, name).__module__.split(".")[0] == "fastaug", name


def test_version():
    assert fastaug.__version__ == importlib.metadata.version("fastaug")


def test_a_checkout_that_is_not_built_says_so(tmp_path):
    """Where its folder comes before the installed package, as for a script beside it."""
    sources = pathlib.Path(fastaug.__file__).parent
    shutil.copytree(sources, tmp_path / "fastaug", ignore=shutil.ignore_patterns("*.so", "*.pyd"))
    for statement, status in (
        ("from fastaug import ImageDataGenerator", 1),
        ("import runpy; runpy.run_module('fastaug', run_name='__main__')", 2),
    ):
        done = run_script(
            f"""
            import sys
            sys.path.insert(0, {str(tmp_path)!r})
            # one of an older editable install knows where another _core is
            sys.meta_path[:] = [each for each in sys.meta_path if "Editable" not in str(each)]
            {statement}
            """
        )
        assert done.returncode == status
        assert f"fastaug is not built in {tmp_path / 'fastaug'}: pip install -e ." in done.stderr
        assert ("Traceback" in done.stderr) == (status == 1)


# --------------------------------------------------------------------- imports

HEAVY = [
    "keras",
    "tensorflow",
    "scipy",
    "pandas",
    "cv2",
    "PIL",
    "torch",
    "jax",
    "matplotlib",
    "psutil",
]


def test_importing_brings_in_nothing_heavy():
    output = check_script(
        f"""
        import sys
        import fastaug
        dir(fastaug), fastaug.__all__, fastaug.__version__
        print([name for name in {HEAVY} if name in sys.modules])
        """,
        keras=True,
    )
    assert output == "[]\n"


@pytest.mark.parametrize("order", [1, 3])
def test_using_it_without_keras_brings_in_no_scipy(order):
    """Every order and all the statistics are the library's own."""
    output = check_script(
        f"""
        import sys
        import numpy as np
        import fastaug
        generator = fastaug.ImageDataGenerator(
            rotation_range=20, horizontal_flip=True, featurewise_center=True,
            interpolation_order={order})
        x = np.zeros((5, 8, 9, 3), dtype="uint8")
        generator.fit(x)
        with generator.flow(x, batch_size=2, seed=0) as iterator:
            next(iterator)
        print([name for name in ("keras", "tensorflow", "scipy", "pandas") if name in sys.modules])
        """
    )
    assert output == "[]\n"


# --------------------------------------------------------------------- without Keras

SETTINGS = {
    "rotation_range": 30,
    "width_shift_range": 0.2,
    "zoom_range": 0.2,
    "horizontal_flip": True,
    "channel_shift_range": 10.0,
}

WITHOUT = """
import json, sys
import numpy as np
import fastaug

folder, settings = sys.argv[1], json.loads(sys.argv[2])
x = np.load(folder + "/x.npy")
np.random.seed(1234)
generator = fastaug.ImageDataGenerator(**settings)
with generator.flow(x, np.arange(len(x)), batch_size=4) as iterator:
    batches = [next(iterator) for _ in range(4)]
    print(generator.data_format, generator.dtype, isinstance(iterator, fastaug.Iterator))
    print(len(iterator), iterator.num_batches if hasattr(iterator, "num_batches") else 3)
np.savez(folder + "/batches.npz", *[part for batch in batches for part in batch])
one = fastaug.array_to_img(x[0])
print(one.size, fastaug.img_to_array(one).dtype, fastaug.random_rotation(x[0], 20, 0, 1, 2).shape)
generator = fastaug.ImageDataGenerator(brightness_range=(0.5, 1), featurewise_center=True)
generator.fit(x)
print(next(generator.flow(x)).dtype)
"""


@pytest.mark.parametrize("order", [1, 3])
def test_a_flow_without_keras(order, tmp_path):
    """The same batches, and Keras's own defaults."""
    settings = SETTINGS | {"interpolation_order": order}
    x = images()
    np.save(tmp_path / "x.npy", x)
    output = check_script(WITHOUT, arguments=[tmp_path, json.dumps(settings)])
    assert output.splitlines() == [
        "channels_last float32 True",
        "3 3",
        "(13, 9) float32 (9, 13, 3)",
        "float32",
    ]
    expected = run(
        flow_scenario(x, np.arange(len(x)), settings=settings, batch_size=4, batches=4),
        keras_library(),
    ).value
    with np.load(tmp_path / "batches.npz") as saved:
        parts = [saved[f"arr_{i}"] for i in range(8)]
    actual = list(zip(parts[::2], parts[1::2], strict=True))
    assert_batches_equal(actual, expected, TRANSFORM)


def test_errors_without_keras():
    output = check_script(
        """
        import numpy as np
        import fastaug
        for call in (
            lambda: fastaug.ImageDataGenerator(data_format="bogus"),
            lambda: fastaug.ImageDataGenerator().flow(np.zeros((3, 4, 5))),
        ):
            try:
                call()
            except ValueError as error:
                print(error)
        """
    )
    expected = []
    for call in (
        lambda: keras_image.ImageDataGenerator(data_format="bogus"),
        lambda: keras_image.ImageDataGenerator().flow(np.zeros((3, 4, 5))),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        expected.append(str(caught.value))
    assert output.splitlines() == expected


# --------------------------------------------------------------------- with Keras


def test_iterators_are_keras_datasets():
    assert issubclass(fastaug.Iterator, keras.utils.PyDataset)
    assert issubclass(fastaug.NumpyArrayIterator, fastaug.Iterator)
    with fastaug.ImageDataGenerator().flow(images()) as iterator:
        assert isinstance(iterator, keras.utils.PyDataset)
        assert isinstance(iterator, fastaug.NumpyArrayIterator)


@pytest.mark.parametrize("floatx", ["float64", "float32"])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_keras_s_settings_are_followed(floatx, data_format, keras_config):
    keras_config.set_floatx(floatx)
    keras_config.set_image_data_format(data_format)
    generator = fastaug.ImageDataGenerator(**SETTINGS)
    assert (generator.dtype, generator.data_format) == (floatx, data_format)
    with generator.flow(images(data_format=data_format), seed=0) as iterator:
        (batch,) = take(iterator, 1)
        assert (iterator.dtype, iterator.data_format) == (floatx, data_format)
    theirs = keras_image.ImageDataGenerator(**SETTINGS)
    expected = run(
        lambda library: take(theirs.flow(images(data_format=data_format), seed=0), 1),
        keras_library(),
    ).value
    assert_batches_equal([batch], expected, TRANSFORM)
    assert batch.dtype == floatx


def test_keras_s_settings_count_when_the_generator_is_made(keras_config):
    keras_config.set_floatx("float64")
    generator = fastaug.ImageDataGenerator()
    keras_config.set_floatx("float32")
    keras_config.set_image_data_format("channels_first")
    with generator.flow(images(), seed=0) as iterator:
        assert next(iterator).dtype == "float64"
        assert_same(iterator.data_format, "channels_last")
