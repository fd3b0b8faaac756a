"""A generator without what is random about it: what validation and prediction are made with."""

from fastaug.keras_api.program import ops_of


class Unaugmented:
    """What an iterator with `augment=False` asks in place of its generator.

    It draws nothing and transforms nothing. All else is the generator's own, as it is when somebody
    asks: how images are standardized, with which statistics, by which threads.

    Args:
        generator: An `ImageDataGenerator` of any kind.
    """

    rotation_range = width_shift_range = height_shift_range = shear_range = channel_shift_range = 0
    zoom_range = (1, 1)
    horizontal_flip = vertical_flip = None  # Keras draws for those that are False
    brightness_range = None

    def __init__(self, generator):
        self._generator = generator

    def __getattr__(self, name):
        return getattr(self._generator, name)

    @property
    def augment(self):
        """Only what stands for a crop, which decides the size of the images."""
        ops = ops_of(self._generator)
        return ops and ops.crop and (ops.crop.unaugmented(),)

    def get_random_transform(self, img_shape):
        """Returns the parameters of no transform."""
        return {}

    def apply_transform(self, x, transform_parameters):
        """Returns the image."""
        return x

    _transform_own = apply_transform
