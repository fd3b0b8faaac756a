"""``standardize`` and ``fit`` beside Keras's, and generators whose methods a user has replaced."""

import numpy as np
import pytest
from reference import (
    EXACT,
    STANDARD,
    TRANSFORM,
    Tolerance,
    assert_batches_equal,
    assert_images_close,
    assert_same,
    assert_same_error,
    fastaug_library,
    images,
    images_of,
    run_both,
    take,
)

SHAPE = {"height": 4, "width": 5}
FLAGS = {
    "rescale": {"rescale": 1 / 255},
    "samplewise_center": {"samplewise_center": True},
    "samplewise_std": {"samplewise_center": True, "samplewise_std_normalization": True},
    "featurewise_center": {"featurewise_center": True},
    "featurewise_std": {"featurewise_center": True, "featurewise_std_normalization": True},
    "whitening": {"featurewise_center": True, "zca_whitening": True},
    "all but whitening": {
        "rescale": 1 / 255,
        "samplewise_center": True,
        "samplewise_std_normalization": True,
        "featurewise_center": True,
        "featurewise_std_normalization": True,
    },
}
each_flag = pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS.keys())


def training_images(dtype="float32", data_format="channels_last"):
    """Enough of them for well conditioned statistics: 60 values in an image, 150 images."""
    return images(n=150, dtype=dtype, data_format=data_format, seed=3, **SHAPE)


def fitted(library, settings, dtype="float32"):
    data_format = settings.get("data_format", "channels_last")
    generator = library.generator(**settings)
    generator.fit(training_images(dtype, data_format))
    return generator


# --------------------------------------------------------------------- standardize


@each_flag
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [False, True], ids=["image", "batch"])
def test_standardize(flags, batch, dtype, data_format):
    """The values, whether the argument itself is returned, and what has become of it."""

    def scenario(library):
        generator = fitted(library, flags | {"data_format": data_format})
        x = images(n=6, dtype=dtype, data_format=data_format, **SHAPE)
        x = x if batch else x[0]
        result = generator.standardize(x)
        return result, x, result is x

    actual, expected = run_both(scenario)
    assert expected.error is None
    assert actual.value[2] is expected.value[2] is ("zca_whitening" not in flags)
    assert_images_close(actual.value[0], expected.value[0], STANDARD)
    assert_images_close(actual.value[1], expected.value[1], STANDARD)
    assert np.any(expected.value[0] != images(n=6, dtype=dtype, data_format=data_format, **SHAPE))


def test_standardize_without_settings_does_nothing():
    x = images(dtype="uint8")
    before = x.copy()
    assert fastaug_library().generator().standardize(x) is x
    np.testing.assert_array_equal(x, before)


@each_flag
def test_standardize_of_bytes_cannot_be_in_place(flags):
    """The sums and products go into the argument, and NumPy refuses to put floats into bytes."""

    def scenario(library):
        return fitted(library, flags).standardize(images(dtype="uint8", **SHAPE))

    error = assert_same_error(scenario, TypeError)
    assert "Cannot cast ufunc" in str(error)


@pytest.mark.parametrize("layout", ["fortran", "strided", "big-endian"])
def test_standardize_of_odd_memory(layout):
    def scenario(library):
        x = images(dtype="float32", **SHAPE)
        x = {
            "fortran": np.asfortranarray(x),
            "strided": np.repeat(x, 2, axis=2)[:, ::-1, ::2],
            "big-endian": x.astype(">f4"),
        }[layout]
        generator = fitted(library, FLAGS["all but whitening"])
        return generator.standardize(x) is x, np.array(x)

    actual, expected = run_both(scenario)
    assert actual.value[0] is expected.value[0] is True
    assert_images_close(actual.value[1], expected.value[1], STANDARD)


def test_standardize_of_a_read_only_array():
    def scenario(library):
        x = images(dtype="float32")
        x.flags.writeable = False
        return library.generator(rescale=0.5).standardize(x)

    assert_same_error(scenario, ValueError)


def _double(x):
    return x * 2


def _as_float64(x):
    return x.astype("float64")


@pytest.mark.parametrize("function", [_double, _as_float64])
@pytest.mark.parametrize("batch", [False, True], ids=["image", "batch"])
def test_standardize_applies_the_function_first(function, batch):
    def scenario(library):
        generator = library.generator(
            preprocessing_function=function, rescale=0.5, samplewise_center=True
        )
        x = images(dtype="float32")
        x = x if batch else x[0]
        return generator.standardize(x), x

    actual, expected = run_both(scenario)
    assert_images_close(actual.value[0], expected.value[0], STANDARD)
    assert_same(actual.value[1], expected.value[1])


def test_statistics_may_be_set_by_hand():
    """A user may keep mean and std of an earlier fit; any shape that broadcasts is good."""

    def scenario(library):
        generator = library.generator(featurewise_center=True, featurewise_std_normalization=True)
        generator.mean = np.array([100.0, 110.0, 120.0], dtype="float32")
        generator.std = 60.0
        iterator = generator.flow(images(), batch_size=4, seed=0)
        try:
            batches = take(iterator, 3)
            generator.mean = images(n=1, dtype="float32", seed=1)[0]
            generator.std = np.array([50, 60, 70])
            return batches + take(iterator, 3)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="untouched")
    assert_batches_equal(actual.value, expected.value, STANDARD)


UNFITTED = {
    "featurewise_center": {"featurewise_center": True},
    "featurewise_std": {"featurewise_center": True, "featurewise_std_normalization": True},
    "whitening": {"featurewise_center": True, "zca_whitening": True},
}


@pytest.mark.parametrize("flags", UNFITTED.values(), ids=UNFITTED.keys())
def test_standardize_before_fit_warns(flags):
    def scenario(library):
        return library.generator(**flags).standardize(images(dtype="float32"))

    actual, expected = run_both(scenario)
    assert len(expected.warnings) == len(flags)
    assert actual.warnings == expected.warnings
    assert_images_close(actual.value, expected.value, EXACT)


@pytest.mark.parametrize("options", [{}, {"workers": 0, "prefetch": 0}], ids=str)
@pytest.mark.parametrize("flags", UNFITTED.values(), ids=UNFITTED.keys())
def test_a_flow_before_fit_warns(flags, options):
    def scenario(library):
        iterator = library.generator(horizontal_flip=True, **flags).flow(images(), seed=0)
        try:
            return take(iterator, 2)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, options=options, stream="untouched")
    assert len(set(expected.warnings)) == len(flags)
    assert_batches_equal(actual.value, expected.value, EXACT)


def test_a_warning_turned_into_an_error_reaches_the_caller():
    import warnings

    generator = fastaug_library().generator(featurewise_center=True)
    with generator.flow(images(), seed=0) as iterator, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="hasn't been fit"):
            next(iterator)


# --------------------------------------------------------------------- fit


def statistics(generator):
    return [generator.mean, generator.std, generator.zca_whitening_matrix]


def compare_statistics(scenario, tolerance=STANDARD, **arguments):
    actual, expected = run_both(scenario, **arguments)
    assert expected.error is None
    compared = 0
    for a, e in zip(actual.value, expected.value, strict=True):
        assert (a is None) == (e is None)
        if e is not None:
            assert_images_close(a, e, tolerance)
            compared += 1
    assert compared


FITTED = {name: flags for name, flags in FLAGS.items() if "featurewise_center" in flags}


@pytest.mark.parametrize("flags", FITTED.values(), ids=FITTED.keys())
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int32"])
@pytest.mark.parametrize("generator_dtype", ["float32", "float64"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_fit(flags, dtype, generator_dtype, data_format):
    settings = flags | {"dtype": generator_dtype, "data_format": data_format}
    compare_statistics(lambda library: statistics(fitted(library, settings, dtype)))


@pytest.mark.parametrize("rescale", [1 / 255, 2, 0, None])
def test_fit_applies_rescale(rescale):
    settings = FLAGS["featurewise_std"] | {"rescale": rescale}
    compare_statistics(lambda library: statistics(fitted(library, settings)))


def test_fit_does_not_apply_the_function():
    settings = FLAGS["featurewise_std"]
    with_function = settings | {"preprocessing_function": _double}
    compare_statistics(lambda library: statistics(fitted(library, with_function)))
    plain = statistics(fitted(fastaug_library(), settings))
    assert_same(statistics(fitted(fastaug_library(), with_function)), plain)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-2, 1.0])
def test_fit_whitening_epsilon(epsilon):
    settings = FLAGS["whitening"] | {"zca_epsilon": epsilon}
    compare_statistics(lambda library: statistics(fitted(library, settings)))


AUGMENTATION = {
    "rotation_range": 20,
    "width_shift_range": 0.2,
    "zoom_range": 0.1,
    "horizontal_flip": True,
    "channel_shift_range": 20,
}


@pytest.mark.parametrize("flags", FITTED.values(), ids=FITTED.keys())
@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("seed", [None, 9])
def test_fit_on_augmented_images(flags, rounds, seed):
    """Statistics of images that may each differ by 0.01 of 60, the deviation of a pixel."""

    def scenario(library):
        generator = library.generator(**flags, **AUGMENTATION)
        generator.fit(training_images("uint8"), augment=True, rounds=rounds, seed=seed)
        return statistics(generator)

    compare_statistics(scenario, Tolerance(relative=2e-4), stream="keras" if seed is None else None)


def test_fit_with_a_seed_is_repeatable():
    def scenario(library):
        results = []
        for seed in (1, 2, 1):
            generator = library.generator(**FLAGS["featurewise_std"], **AUGMENTATION)
            generator.fit(training_images(), augment=True, seed=seed)
            results.append(generator.mean)
        return results

    actual, expected = run_both(scenario, stream=None)
    assert_same(actual.value[0], actual.value[2])
    assert np.any(actual.value[0] != actual.value[1])
    for a, e in zip(actual.value, expected.value, strict=True):
        assert_images_close(a, e, Tolerance(absolute=0.01))


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_fit_leaves_the_images_alone(dtype, augment):
    x = training_images(dtype)
    before = x.copy()
    settings = FLAGS["all but whitening"] | AUGMENTATION
    fastaug_library().generator(**settings).fit(x, augment=augment, seed=0)
    np.testing.assert_array_equal(x, before)


def test_fit_takes_nested_lists():
    x = images(n=5, height=3, width=2)
    settings = FLAGS["featurewise_std"]

    def scenario(library):
        generator = library.generator(**settings)
        generator.fit(x.tolist())
        return statistics(generator)

    compare_statistics(scenario)


def test_fit_without_flags_returns_nothing_and_keeps_nothing():
    def scenario(library):
        generator = library.generator()
        return generator.fit(training_images()), statistics(generator)

    actual, expected = run_both(scenario)
    assert_same(actual.value, expected.value)
    assert expected.value == (None, [None, None, None])


@pytest.mark.parametrize("channels", [1, 4])
def test_fit_other_channels(channels):
    x = images(n=60, channels=channels)

    def scenario(library):
        generator = library.generator(**FLAGS["featurewise_std"])
        generator.fit(x)
        return statistics(generator)

    compare_statistics(scenario)


# --------------------------------------------------------------------- replaced methods

SETTINGS = {
    "rotation_range": 20,
    "horizontal_flip": True,
    "channel_shift_range": 10.0,
    "rescale": 0.5,
}


def own_parameters(library):
    """Parameters of one's own, some drawn and some fixed."""

    class Own(library.ImageDataGenerator):
        def get_random_transform(self, img_shape, seed=None):
            parameters = super().get_random_transform(img_shape, seed)
            parameters["theta"] = 90 * np.random.randint(4)
            parameters["zx"] = 1.25
            return parameters

    return Own


def only_own_parameters(library):
    """A partial dictionary, and no call of the original."""

    class Own(library.ImageDataGenerator):
        def get_random_transform(self, img_shape, seed=None):
            return {"tx": np.random.randint(img_shape[0]), "flip_vertical": True}

    return Own


def own_transform(library):
    class Own(library.ImageDataGenerator):
        def apply_transform(self, x, transform_parameters):
            x = super().apply_transform(x, transform_parameters)
            return x + np.random.random()

    return Own


def only_own_transform(library):
    class Own(library.ImageDataGenerator):
        def apply_transform(self, x, transform_parameters):
            return x.transpose(0, 1, 2)[::-1] * (1 + transform_parameters["flip_horizontal"])

    return Own


def own_standardize(library):
    class Own(library.ImageDataGenerator):
        def standardize(self, x):
            return super().standardize(x) - 7 + np.random.randint(3)

    return Own


def own_random_transform(library):
    """Keras uses it in ``fit`` alone."""

    class Own(library.ImageDataGenerator):
        def random_transform(self, x, seed=None):
            return super().random_transform(x, seed) * 0.5

    return Own


def all_own(library):
    class Own(own_parameters(library), own_transform(library), own_standardize(library)):
        pass

    return Own


CLASSES = [
    own_parameters,
    only_own_parameters,
    own_transform,
    only_own_transform,
    own_standardize,
    own_random_transform,
    all_own,
]
each_class = pytest.mark.parametrize("make_class", CLASSES, ids=lambda f: f.__name__)


@each_class
@pytest.mark.parametrize("seed", [None, 14])
@pytest.mark.parametrize(
    "options", [{}, {"workers": 0, "prefetch": 0}, {"workers": 3, "prefetch": 4}], ids=str
)
def test_a_flow_honours_replaced_methods(make_class, seed, options):
    """Also when they draw from the global stream themselves, image after image."""

    def scenario(library):
        generator = library.make(make_class(library), **SETTINGS)
        iterator = generator.flow(images(), np.arange(10), batch_size=4, seed=seed)
        try:
            return take(iterator, 6)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, options=options, stream="keras" if seed is None else None)
    assert_batches_equal(actual.value, expected.value, TRANSFORM)
    plain, _ = run_both(
        lambda library: _plain_batches(library, seed),
        options=options,
        stream="keras" if seed is None else "untouched",
    )
    same = all(
        np.array_equal(images_of(a), images_of(b))
        for a, b in zip(actual.value, plain.value, strict=True)
    )
    assert same == (make_class is own_random_transform)


def _plain_batches(library, seed):
    iterator = library.generator(**SETTINGS).flow(images(), np.arange(10), batch_size=4, seed=seed)
    try:
        return take(iterator, 6)
    finally:
        library.close(iterator)


@each_class
def test_fit_honours_replaced_methods(make_class):
    def scenario(library):
        generator = library.make(make_class(library), featurewise_center=True, **SETTINGS)
        generator.fit(training_images(), augment=True, rounds=2)
        return [generator.mean]

    compare_statistics(scenario, Tolerance(absolute=0.01))


@pytest.mark.parametrize("seed", [None, 14])
def test_methods_replaced_on_the_generator_itself(seed):
    """Assigned to one generator, before and after its flow was made."""

    def scenario(library):
        generator = library.generator(**SETTINGS)
        original = generator.get_random_transform
        generator.get_random_transform = lambda shape, seed=None: original(shape) | {"tx": 2}
        iterator = generator.flow(images(), batch_size=4, seed=seed)
        try:
            batches = take(iterator, 2)
            generator.standardize = lambda x: x * 3
            batches += take(iterator, 2)
            del generator.get_random_transform
            return batches + take(iterator, 2)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="keras" if seed is None else "untouched")
    assert_batches_equal(actual.value, expected.value, TRANSFORM)
    assert images_of(expected.value[2]).max() > 2 * images_of(expected.value[0]).max()


def test_an_error_in_a_replaced_method():
    def scenario(library):
        class Own(library.ImageDataGenerator):
            def apply_transform(self, x, transform_parameters):
                raise LookupError("no transform")

        iterator = library.make(Own).flow(images(), seed=0)
        try:
            return next(iterator)
        finally:
            library.close(iterator)

    assert str(assert_same_error(scenario, LookupError)) == "no transform"


def test_fitting_anew_when_there_are_statistics_that_fit_no_image():
    def scenario(library):
        generator = library.generator(featurewise_center=True, horizontal_flip=True)
        generator.mean = np.zeros((1, 1, 1, 3))
        generator.fit(training_images(), augment=True, seed=1)
        return statistics(generator)

    actual, expected = run_both(scenario)
    assert_same(actual.value, expected.value)


def test_brightness_in_another_floatx(keras_config):
    """Keras turns images into its own floatx on the way, whatever the type of the batch."""
    keras_config.set_floatx("float16")

    def scenario(library):
        generator = library.generator(brightness_range=(0.5, 1.5), dtype="float32")
        return next(generator.flow(training_images("float32"), shuffle=False))

    actual, expected = run_both(scenario)
    np.testing.assert_array_equal(actual.value, expected.value)
