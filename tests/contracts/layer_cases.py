"""The cases that every registered layer runs through in ``test_layers.py``: a layer and the shapes of its inputs."""

from dataclasses import dataclass

from dltool.engine.layers import (
    ELU,
    GRU,
    LSTM,
    Activation,
    Add,
    AdditiveAttention,
    Attention,
    Average,
    AveragePooling2D,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dot,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    GroupNormalization,
    InputLayer,
    Layer,
    LayerNormalization,
    LeakyReLU,
    Masking,
    Maximum,
    MaxPooling2D,
    Minimum,
    MultiHeadAttention,
    Multiply,
    Normalization,
    Part,
    Permute,
    PReLU,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    Shape,
    SimpleRNN,
    Softmax,
    Subtract,
    ThresholdedReLU,
    TimeDistributed,
    UnitNormalization,
    ZeroPadding2D,
)


@dataclass(frozen=True)
class Case:
    """``shapes`` has one entry per input, without the batch axis; ``integers``: inputs are 0 .. integers - 1."""

    layer: Layer
    shapes: tuple[Shape, ...]
    integers: int | None = None

    @property
    def joins(self) -> bool:
        """True when the layer gets a tuple of inputs."""
        return self.layer.joins or len(self.shapes) > 1

    def __str__(self) -> str:
        layer = self.layer
        changed = [f"{k}={v}" for k, v in layer.config().items() if k not in ("name", "trainable")][:6]
        return f"{type(layer).__name__}-{','.join(changed)}".replace(" ", "")

    @property
    def shape(self):
        """What the layer's ``output_shape`` and ``weight_specs`` get."""
        return self.shapes if self.joins else self.shapes[0]


def case(layer: Layer, *shapes: Shape, integers: int | None = None) -> Case:
    return Case(layer, shapes, integers)


IMAGE = (6, 5, 4)
SEQUENCE = (4, 3)

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
    case(Embedding(7, 3), (4,), integers=7),
    case(Embedding(5, 2, mask_zero=True, embeddings_regularizer="l2"), (2, 3), integers=5),
    case(Masking(), SEQUENCE),
    case(Masking(mask_value=-1.0), (2, 3, 2)),
    case(RepeatVector(3), (4,)),
    case(Permute((2, 1)), SEQUENCE),
    case(Permute((3, 1, 2)), IMAGE),
    case(SimpleRNN(3), SEQUENCE),
    case(SimpleRNN(2, activation="softsign", use_bias=False, return_sequences=True, go_backwards=True), SEQUENCE),
    case(SimpleRNN(3, dropout=0.3, recurrent_dropout=0.4), SEQUENCE),
    case(SimpleRNN(2, return_state=True), SEQUENCE, (2,)),
    case(LSTM(3), SEQUENCE),
    case(LSTM(2, return_sequences=True, kernel_regularizer="l2", unit_forget_bias=False), SEQUENCE),
    case(LSTM(2, activation="softsign", recurrent_activation="tanh", use_bias=False, go_backwards=True), SEQUENCE),
    case(LSTM(3, dropout=0.5, recurrent_dropout=0.5, return_sequences=True), SEQUENCE),
    case(LSTM(2, return_sequences=True, return_state=True), SEQUENCE, (2,), (2,)),
    case(LSTM(2, return_state=True), SEQUENCE),
    case(GRU(3), SEQUENCE),
    case(GRU(2, return_sequences=True, go_backwards=True), SEQUENCE),
    case(GRU(3, reset_after=False), SEQUENCE),
    case(GRU(2, reset_after=False, use_bias=False, recurrent_dropout=0.4, dropout=0.2), SEQUENCE),
    case(GRU(2, use_bias=False, recurrent_dropout=0.4), SEQUENCE, (2,)),
    case(Part(0, count=2), (3, 4)),
    case(Part(2, count=2, sequences=True, size=3), (6, 4)),
    case(Part(0, count=1, sequences=True), (6, 4)),
    case(Bidirectional(LSTM(2)), SEQUENCE),
    case(Bidirectional(GRU(2, return_sequences=True, dropout=0.4), merge_mode="mul"), SEQUENCE),
    case(Bidirectional(SimpleRNN(2, return_sequences=True), merge_mode="ave"), SEQUENCE, (2,), (2,)),
    case(
        Bidirectional(LSTM(2), merge_mode="sum", backward_layer=LSTM(2, activation="sigmoid", go_backwards=True)),
        SEQUENCE,
    ),
    case(TimeDistributed(Dense(2, activation="tanh")), SEQUENCE),
    case(TimeDistributed(Conv2D(2, 3)), (2, *IMAGE)),
    case(TimeDistributed(Dropout(0.5)), SEQUENCE),
    case(ELU(alpha=0.5), (7,)),
    case(ThresholdedReLU(theta=0.3), (20,)),
    case(PReLU(alpha_initializer="ones"), SEQUENCE),
    case(PReLU(shared_axes=(1, 2), alpha_regularizer="l2", alpha_constraint="non_neg"), IMAGE),
    case(Softmax(), SEQUENCE),
    case(Softmax(axis=1), SEQUENCE),
    case(LayerNormalization(), SEQUENCE),
    case(LayerNormalization(axis=(1, 2), scale=False, epsilon=1e-2), SEQUENCE),
    case(LayerNormalization(axis=[1], center=False), IMAGE),
    case(GroupNormalization(groups=2), IMAGE),
    case(GroupNormalization(groups=-1, axis=1, scale=False), (4, 5)),
    case(UnitNormalization(), SEQUENCE),
    case(Subtract(), IMAGE, (5, 1)),
    case(Multiply(), SEQUENCE, SEQUENCE, SEQUENCE),
    case(Multiply(), IMAGE, (1, 1, 4)),
    case(Average(), SEQUENCE, SEQUENCE),
    case(Maximum(), SEQUENCE, SEQUENCE, (1, 3)),
    case(Minimum(), SEQUENCE, SEQUENCE),
    case(Dot(1), (4,), (4,)),
    case(Dot((2, 1), normalize=True), (2, 3), (3, 4)),
    case(Dot(axes=-1), (2, 3), (5, 4, 3)),
    case(Attention(), SEQUENCE, (5, 3)),
    case(Attention(use_scale=True, dropout=0.4), SEQUENCE, (5, 2), (5, 3)),
    case(Attention(use_scale=True, score_mode="concat", use_causal_mask=True), SEQUENCE, SEQUENCE),
    case(AdditiveAttention(), SEQUENCE, (5, 3)),
    case(AdditiveAttention(use_scale=False, dropout=0.3), SEQUENCE, (5, 2), (5, 3)),
    case(MultiHeadAttention(2, 3), SEQUENCE, SEQUENCE),
    case(MultiHeadAttention(2, 3, value_dim=2, output_size=5, dropout=0.4), SEQUENCE, (5, 2), (5, 4)),
    case(MultiHeadAttention(1, 2, use_bias=False, use_causal_mask=True), SEQUENCE, SEQUENCE),
]
