"""Scripts as tutorials have them, with one line changed: training sees the same, on JAX."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import trees
from PIL import Image
from reference import TRANSFORM, assert_images_close, assert_same

IMPORTS = {
    "keras": "from keras.src.legacy.preprocessing.image import ImageDataGenerator",
    "fastaug": "from fastaug import ImageDataGenerator",
}

#: Runs scripts one after the other, and keeps every batch that a model is given.
RUNNER = """
import pathlib, pickle, sys
import keras
import numpy as np
from keras.src.backend.jax.trainer import JAXTrainer

def recorded(name):
    real = getattr(JAXTrainer, name)
    def step(self, state, data):
        seen.append((name, keras.tree.map_structure(np.asarray, data)))
        return real(self, state, data)
    setattr(JAXTrainer, name, step)

for name in ("train_step", "test_step", "predict_step"):
    recorded(name)

real_compile = keras.Model.compile
keras.Model.compile = lambda self, *a, **k: real_compile(self, *a, run_eagerly=True, **k)

found = {}
for script in sys.argv[2:]:
    seen = []
    names = {"__name__": "__main__"}
    keras.utils.set_random_seed(3)
    exec(compile(pathlib.Path(script).read_text(), script, "exec"), names)
    found[pathlib.Path(script).stem] = seen, {k: names[k] for k in names["results"]}
pathlib.Path(sys.argv[1]).write_bytes(pickle.dumps(found))
"""

MODEL = """
import keras

def new_model(outputs, activation, loss, channels=3):
    model = keras.Sequential()
    model.add(keras.layers.Input((24, 28, channels)))
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(outputs, activation=activation))
    model.compile("sgd", loss)
    return model
"""

SCRIPTS = {
    "folders": """
        train_datagen = ImageDataGenerator(
            rescale=1.0 / 255, rotation_range=40, width_shift_range=0.2, height_shift_range=0.2,
            shear_range=0.2, zoom_range=0.2, horizontal_flip=True, fill_mode="nearest",
            validation_split=0.25)
        test_datagen = ImageDataGenerator(rescale=1.0 / 255, validation_split=0.25)
        train_generator = train_datagen.flow_from_directory(
            "photos", target_size=(24, 28), batch_size=4, class_mode="binary", seed=42,
            subset="training")
        validation_generator = test_datagen.flow_from_directory(
            "photos", target_size=(24, 28), batch_size=4, class_mode="binary", shuffle=False,
            subset="validation")
        model = new_model(1, "sigmoid", "binary_crossentropy")
        history = model.fit(
            train_generator, steps_per_epoch=train_generator.samples // 4, epochs=2,
            validation_data=validation_generator,
            validation_steps=validation_generator.samples // 4, verbose=0)
        classes, order = train_generator.class_indices, train_generator.filenames
        logged = sorted(history.history)
        results = ["classes", "order", "logged"]
    """,
    "dataframe": """
        import pandas as pd

        traindf = pd.read_csv("train.csv", dtype=str)
        datagen = ImageDataGenerator(
            rescale=1 / 255.0, horizontal_flip=True, zoom_range=[0.8, 1.2], validation_split=0.25)
        arguments = dict(
            dataframe=traindf, directory="all", x_col="id", y_col="label", batch_size=4,
            class_mode="categorical", target_size=(24, 28))
        train_generator = datagen.flow_from_dataframe(subset="training", seed=42, **arguments)
        valid_generator = datagen.flow_from_dataframe(
            subset="validation", seed=42, shuffle=False, **arguments)
        model = new_model(2, "softmax", "categorical_crossentropy")
        model.fit(train_generator, validation_data=valid_generator, epochs=2, verbose=0)
        scores = model.evaluate(valid_generator, verbose=0)
        classes, names = train_generator.class_indices, train_generator.filenames
        results = ["classes", "names"]
    """,
    "masks": """
        data_gen_args = dict(rotation_range=90, width_shift_range=0.1, height_shift_range=0.1,
                             zoom_range=0.2)
        image_datagen = ImageDataGenerator(**data_gen_args)
        mask_datagen = ImageDataGenerator(**data_gen_args)
        seed = 1
        image_generator = image_datagen.flow_from_directory(
            "photos", class_mode=None, seed=seed, target_size=(24, 28), batch_size=4)
        mask_generator = mask_datagen.flow_from_directory(
            "masks", class_mode=None, seed=seed, target_size=(24, 28), batch_size=4,
            color_mode="grayscale")
        train_generator = (pair for pair in zip(image_generator, mask_generator))
        model = keras.Sequential()
        model.add(keras.layers.Input((24, 28, 3)))
        model.add(keras.layers.Conv2D(1, 1, activation="sigmoid"))
        model.compile("sgd", "mse")
        model.fit(train_generator, steps_per_epoch=3, epochs=2, verbose=0)
        same = image_generator.filenames == mask_generator.filenames
        results = ["same"]
    """,
    "outputs": """
        import pandas as pd

        frame = pd.read_csv("train.csv")
        datagen = ImageDataGenerator(rescale=1.0 / 255, vertical_flip=True, rotation_range=10)
        flow = datagen.flow_from_dataframe(
            frame, "all", x_col="id", y_col=["age", "height"], class_mode="multi_output",
            target_size=(24, 28), batch_size=4, seed=7)
        inputs = keras.Input((24, 28, 3))
        x = keras.layers.GlobalAveragePooling2D()(inputs)
        model = keras.Model(inputs, [keras.layers.Dense(1, name=n)(x) for n in ("age", "height")])
        model.compile("sgd", ["mse", "mae"])
        model.fit(flow, epochs=2, verbose=0)
        results = []
    """,
    "predict": """
        import numpy as np

        test_datagen = ImageDataGenerator(rescale=1.0 / 255)
        test_generator = test_datagen.flow_from_directory(
            "photos", target_size=(24, 28), batch_size=5, class_mode=None, shuffle=False)
        model = new_model(2, "softmax", "categorical_crossentropy")
        test_generator.reset()
        first = model.predict(test_generator, verbose=0)
        test_generator.reset()
        second = model.predict(test_generator, steps=len(test_generator), verbose=0)
        assert len(first) == len(second) == len(test_generator.filenames)
        assert np.array_equal(first, second)
        predictions = dict(zip(test_generator.filenames, first.argmax(axis=1).tolist()))
        labels = list(test_generator.classes)
        results = ["predictions", "labels"]
    """,
}


def write_data(folder):
    rows = []
    for number in range(18):
        kind = "cat" if number % 2 else "dog"
        trees.write(folder, f"photos/{kind}/{number}.jpg", number, size=(30, 26))
        trees.write(folder, f"all/{number}.png", number, size=(24, 28))
        mask = np.uint8(255) * (np.asarray(trees.picture(number, "L", 30, 26)) > 128)
        (folder / "masks" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(folder / "masks" / kind / f"{number}.png")
        rows.append((f"{number}.png", kind, 20 + number, 1.5 + number / 30))
    frame = pd.DataFrame(rows, columns=["id", "label", "age", "height"])
    frame.to_csv(folder / "train.csv", index=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What each script came to with either line."""
    pytest.importorskip("jax")
    data = tmp_path_factory.mktemp("data")
    write_data(data)
    found = {}
    for library, line in IMPORTS.items():
        folder = tmp_path_factory.mktemp(library)
        for name, script in SCRIPTS.items():
            (folder / f"{name}.py").write_text(f"{line}\n{MODEL}\n{textwrap.dedent(script)}")
        out = folder / "found.pickle"
        done = subprocess.run(
            [sys.executable, "-P", "-c", RUNNER, out, *(folder / f"{name}.py" for name in SCRIPTS)],
            cwd=data, env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found[library] = pickle.loads(out.read_bytes()), done.stdout
    return found


STEPS = {
    "folders": {"train_step": 4, "test_step": 2},
    "dataframe": {"train_step": 8, "test_step": 3},
    "masks": {"train_step": 6},
    "outputs": {"train_step": 10},
    "predict": {"predict_step": 8},
}


def leaves(data):
    return [leaf for each in data for leaf in leaves(each)] if is_nested(data) else [data]


def structure_of(data):
    return list(map(structure_of, data)) if is_nested(data) else type(data).__name__


def is_nested(data):
    return isinstance(data, tuple | list)  # several outputs are a list in Keras


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_sees_the_same(script, runs):
    ours, theirs = (runs[library][0][script] for library in ("fastaug", "keras"))
    assert ours[1] == theirs[1], "names, classes, predictions"
    steps = [name for name, _ in theirs[0]]
    assert {name: steps.count(name) for name in steps} == STEPS[script]
    assert [name for name, _ in ours[0]] == steps
    scale = 1 if script == "masks" else 1 / 255
    for (_, mine), (_, its) in zip(ours[0], theirs[0], strict=True):
        assert_same(structure_of(mine), structure_of(its))
        for array, expected in zip(leaves(mine), leaves(its), strict=True):
            if expected.ndim == 4:  # masks too
                assert_images_close(array, expected, TRANSFORM.scaled(scale))
            else:
                assert_same(array, expected)


def test_the_scripts_say_the_same(runs):
    assert "Found 18 images belonging to 2 classes." in runs["keras"][1]
    assert runs["fastaug"][1] == runs["keras"][1]
