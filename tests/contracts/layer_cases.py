"""The cases that every registered layer runs through in ``test_layers.py``: a layer and the shapes of its inputs."""

from dataclasses import dataclass

from dltool.engine.layers import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    InputLayer,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    Normalization,
    ReLU,
    Rescaling,
    Reshape,
    Shape,
    ZeroPadding2D,
)


@dataclass(frozen=True)
class Case:
    """``shapes`` has one entry per input, without the batch axis."""

    layer: Layer
    shapes: tuple[Shape, ...]

    def __str__(self) -> str:
        layer = self.layer
        changed = [f"{k}={v}" for k, v in layer.config().items() if k not in ("name", "trainable")][:6]
        return f"{type(layer).__name__}-{','.join(changed)}".replace(" ", "")

    @property
    def shape(self):
        """What the layer's ``output_shape`` and ``weight_specs`` get."""
        return self.shapes if self.layer.joins else self.shapes[0]


def case(layer: Layer, *shapes: Shape) -> Case:
    return Case(layer, shapes)


IMAGE = (6, 5, 4)

CASES = [
    case(InputLayer(shape=(3, 2)), (3, 2)),
    case(Dense(3), (5,)),
    case(Dense(3, activation="softmax", use_bias=False), (5,)),
    case(Dense(2, activation="tanh", kernel_regularizer="l2"), (4, 5)),
    case(Dense(2, kernel_initializer="he_normal", bias_initializer={"class_name": "Constant", "config": {}}), IMAGE),
    case(Flatten(), IMAGE),
    case(Flatten(), ()),
    case(Reshape((10, -1)), IMAGE),
    case(Reshape(120), IMAGE),
    case(Activation("gelu"), (7,)),
    case(Activation("softmax"), (3, 4)),
    case(ReLU(), (7,)),
    case(ReLU(max_value=1.0, negative_slope=0.1, threshold=0.25), (20,)),
    case(LeakyReLU(), (7,)),
    case(Dropout(0.4), (33,)),
    case(Dropout(0.0), (3,)),
    case(Dropout(0.5), IMAGE),
    case(Rescaling(1 / 255, -0.5), IMAGE),
    case(Rescaling([1, 2, 3, 4], [0.5] * 4), IMAGE),
    case(Normalization(), (5,)),
    case(Normalization(axis=(1, 3)), IMAGE),
    case(Normalization(axis=None), IMAGE),
    case(Normalization(mean=[1, 2, 3, 4], variance=[4, 1, 0.25, 0]), IMAGE),
    case(Normalization(mean=0.5, variance=2.0, invert=True), IMAGE),
    case(Conv2D(3, 3), IMAGE),
    case(Conv2D(3, 3, padding="same", activation="tanh"), IMAGE),
    case(Conv2D(3, (2, 4), strides=2, padding="same", use_bias=False), IMAGE),
    case(Conv2D(4, (3, 2), strides=(1, 2), groups=2, kernel_regularizer="l1"), IMAGE),
    case(Conv2D(2, 3, dilation_rate=(2, 1), padding="same"), IMAGE),
    case(Conv2D(2, 2, dilation_rate=2), IMAGE),
    case(Conv2D(5, 1, strides=3), IMAGE),
    case(DepthwiseConv2D(3), IMAGE),
    case(DepthwiseConv2D(2, strides=2, padding="same", depth_multiplier=2, activation="sigmoid"), IMAGE),
    case(DepthwiseConv2D((3, 1), dilation_rate=2, use_bias=False, depthwise_regularizer="l2"), IMAGE),
    case(ZeroPadding2D(), IMAGE),
    case(ZeroPadding2D(((0, 2), (3, 1))), IMAGE),
    case(MaxPooling2D(), IMAGE),
    case(MaxPooling2D(3, strides=2, padding="same"), IMAGE),
    case(MaxPooling2D((2, 1), strides=(1, 3)), IMAGE),
    case(AveragePooling2D(), IMAGE),
    case(AveragePooling2D(3, strides=2, padding="same"), IMAGE),
    case(AveragePooling2D(2, strides=1, padding="same"), IMAGE),
    case(GlobalMaxPooling2D(), IMAGE),
    case(GlobalMaxPooling2D(keepdims=True), IMAGE),
    case(GlobalAveragePooling2D(), IMAGE),
    case(GlobalAveragePooling2D(keepdims=True), IMAGE),
    case(BatchNormalization(), IMAGE),
    case(BatchNormalization(momentum=0.5, epsilon=1e-2, beta_regularizer="l2"), (5,)),
    case(BatchNormalization(axis=1, scale=False), (3, 4)),
    case(BatchNormalization(axis=[2], center=False), IMAGE),
    case(BatchNormalization(scale=False, center=False, unbiased_moving_variance=True), (5,)),
    case(Add(), IMAGE, IMAGE, IMAGE),
    case(Add(), IMAGE, (1, 1, 4)),
    case(Add(), (4,), (5, 1)),
    case(Concatenate(), IMAGE, (6, 5, 1), IMAGE),
    case(Concatenate(axis=1), (2, 3), (4, 3)),
]
