"""The networks that are trained."""

from keras_reference import keras

layers = keras.layers


def cifar10_network(classes=10):
    """Returns Keras's classic example network for CIFAR-10, compiled."""
    convolution = {"activation": "relu", "data_format": "channels_last"}
    pooling = {"data_format": "channels_last"}
    return _compiled(
        [
            layers.Input((32, 32, 3)),
            layers.Conv2D(32, 3, padding="same", **convolution),
            layers.Conv2D(32, 3, **convolution),
            layers.MaxPooling2D(2, **pooling),
            layers.Dropout(0.25),
            layers.Conv2D(64, 3, padding="same", **convolution),
            layers.Conv2D(64, 3, **convolution),
            layers.MaxPooling2D(2, **pooling),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def photo_network(size, classes):
    """Returns a small network for photographs of size x size pixels, compiled."""
    steps = [layers.Input((size, size, 3))]
    for filters, stride in ((32, 2), (32, 1), (64, 1)):
        steps += [
            layers.Conv2D(
                filters, 3, strides=stride, activation="relu", data_format="channels_last"
            ),
            layers.MaxPooling2D(2, data_format="channels_last"),
        ]
    steps += [
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(classes, activation="softmax"),
    ]
    return _compiled(steps)


def mean_network(size, classes):
    """Returns a network that sees an image's mean colour and costs next to nothing, compiled."""
    return _compiled(
        [
            layers.Input((size, size, 3)),
            layers.GlobalAveragePooling2D(data_format="channels_last"),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def _compiled(steps):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(steps)
    optimizer = keras.optimizers.RMSprop(learning_rate=1e-4)
    model.compile(optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def on_gpu():
    """Whether Keras's backend computes on something faster than the processor."""
    if keras.config.backend() == "torch":
        import torch

        return torch.cuda.is_available() or torch.backends.mps.is_available()
    return not all(name.lower().startswith("cpu") for name in keras.distribution.list_devices())
