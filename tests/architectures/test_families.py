"""Every ready architecture fits every size it should, and says so when it does not."""

import pytest

from dltool.architectures.catalog import ARCHITECTURES, architecture
from dltool.engine.layers import Dropout
from dltool.errors import UsageError

IMAGES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3), (33, 47, 4)]
CONVOLUTIONAL = ["lenet", "cnn", "vgg-small", "resnet-small", "resnet9"]
SEQUENTIAL = ["lstm", "gru", "textcnn"]


def kinds(graph):
    return [type(node.layer).__name__ for node in graph.nodes]


@pytest.mark.parametrize("name", ["mlp", *CONVOLUTIONAL])
@pytest.mark.parametrize("shape", IMAGES)
def test_images_of_all_sizes(name, shape):
    graph = architecture(name, shape, 7, "softmax", rescale=True)
    assert graph.input_shapes == (shape,)
    assert graph.output_shapes == ((7,),)
    assert graph.nodes[-1].layer.activation == "softmax"
    assert kinds(graph)[1] == "Rescaling"
    assert graph.nodes[1].layer.scale == pytest.approx(1 / 255)


def test_the_list_is_complete():
    assert set(ARCHITECTURES) == {"mlp", *CONVOLUTIONAL, *SEQUENTIAL, "crnn", "autoencoder"}


@pytest.mark.parametrize("name", ["mlp", *CONVOLUTIONAL])
def test_without_rescaling_none_is_there(name):
    """But the one before the head of resnet9, which belongs to the network."""
    count = kinds(architecture(name, (16, 16, 3), 2, "softmax")).count("Rescaling")
    assert count == (1 if name == "resnet9" else 0)


def test_mlp_takes_tables_as_they_are():
    graph = architecture("mlp:units=5,layers=1,dropout=0", (20,), 1, "linear", rescale=True)
    assert kinds(graph) == ["InputLayer", "Dense", "Dense"]
    assert graph.num_parameters == 20 * 5 + 5 + 5 + 1


def test_lenet_has_the_parameters_of_the_paper_with_all_maps_connected():
    # 5*5*6+6, 5*5*6*16+16, 400*120+120, 120*84+84, 84*10+10
    assert architecture("lenet", (28, 28, 1), 10, "softmax").num_parameters == 156 + 2416 + 48120 + 10164 + 850


def test_vgg_small_has_six_convolutions_of_the_width_asked_for():
    graph = architecture("vgg-small:width=16", (32, 32, 3), 10, "softmax")
    filters = [node.layer.filters for node in graph.nodes if type(node.layer).__name__ == "Conv2D"]
    assert filters == [16, 16, 32, 32, 64, 64]
    assert kinds(graph).count("BatchNormalization") == 6


def test_resnet_small_adds_its_shortcuts():
    graph = architecture("resnet-small:width=8,blocks=3", (32, 32, 3), 10, "softmax")
    assert kinds(graph).count("Add") == 9
    assert kinds(graph).count("Conv2D") == 1 + 2 * 9 + 2
    sizes = [shape for shape, kind in zip(graph.shapes, kinds(graph), strict=True) if kind == "Add"]
    assert sizes == [(32, 32, 8)] * 3 + [(16, 16, 16)] * 3 + [(8, 8, 32)] * 3


def test_cnn_grows_with_the_image_and_not_its_dense_layer():
    for size, num_poolings in ((28, 2), (32, 2), (64, 3), (128, 4)):
        graph = architecture("cnn", (size, size, 3), 10, "softmax")
        assert kinds(graph).count("MaxPooling2D") == num_poolings
        before_flatten = graph.shapes[kinds(graph).index("Flatten") - 1]
        assert before_flatten[:2] == ((7, 7) if size == 28 else (8, 8))


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_sequences_of_tokens_of_numbers_and_of_rows_of_images(name):
    tokens = architecture(f"{name}:vocabulary=50,embedding=6", (9,), 3, "softmax")
    assert kinds(tokens)[1] == "Embedding"
    assert tokens.specs["embedding"][0].shape == (50, 6)
    assert (tokens.masks[1] is not None) == (name != "textcnn")
    for shape in ((9,), (9, 4), (9, 5, 3)):
        graph = architecture(name, shape, 3, "softmax", rescale=True)
        assert graph.output_shapes == ((3,),)
        assert ("Rescaling" in kinds(graph)) == (len(shape) == 3)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_recurrent_networks_answer_at_every_step_in_both_directions(name):
    graph = architecture(
        f"{name}:units=4,layers=2,bidirectional=true,every_step=true,masking=true", (7, 2), 5, "softmax"
    )
    assert graph.output_shapes == ((7, 5),)
    assert kinds(graph) == ["InputLayer", "Masking", *["Bidirectional", "Dropout"] * 2, "Dense"]
    assert graph.masks[graph.outputs[0]] == (7,)


def test_lstm_has_the_weights_of_four_gates():
    graph = architecture("lstm:units=5", (8, 3), 2, "softmax")
    assert graph.num_parameters == 4 * (3 * 5 + 5 * 5 + 5) + 5 * 2 + 2


@pytest.mark.parametrize(("shape", "steps"), [((28, 224, 1), 56), ((64, 100, 3), 25), ((40, 13), 40)])
def test_crnn_gives_logits_for_every_fourth_column_or_every_step(shape, steps):
    graph = architecture("crnn:width=4,units=8", shape, 11, "softmax", rescale=True)
    assert graph.output_shapes == ((steps, 11),)
    assert graph.nodes[-1].layer.activation == "linear"


@pytest.mark.parametrize(
    ("shape", "convolutional"),
    [((28, 28, 1), True), ((32, 48, 3), True), ((33, 47, 3), False), ((20,), False), ((9, 3), False)],
)
def test_autoencoder_gives_its_input_back_through_few_numbers(shape, convolutional):
    graph = architecture("autoencoder:units=6", shape, 0, "linear")
    assert graph.output_shapes == (shape,)
    assert graph.shapes[[node.name for node in graph.nodes].index("code")] == (6,)
    assert ("Conv2D" in kinds(graph)) == convolutional


def test_dropout_zero_leaves_the_layer_out():
    graph = architecture("cnn:dropout=0", (28, 28, 1), 10, "softmax")
    assert not any(isinstance(node.layer, Dropout) for node in graph.nodes)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("cn", (8, 8, 1), "unknown architecture 'cn'; did you mean 'cnn'?"),
        ("cnn:with=3", (8, 8, 1), "--arch cnn: no option 'with'; did you mean 'width'?"),
        ("cnn:width=0", (8, 8, 1), "--arch cnn: width=0 must be a whole number from 1 to 100000"),
        ("cnn:width=1.5", (8, 8, 1), "--arch cnn: width=1.5 must be a whole number from 1 to 100000"),
        ("cnn:dropout=1", (8, 8, 1), "--arch cnn: dropout=1 must be a number from 0 to below 1"),
        ("cnn:width", (8, 8, 1), "cnn:width: 'width' is no key=value; write cnn:key=value,key=value"),
        ("cnn:width=1,width=2", (8, 8, 1), "cnn:width=1,width=2: width is given twice; give it once"),
        (
            "lstm:vocabulary=9",
            (5, 2),
            "--arch lstm: vocabulary is for rows of whole numbers, but the input is 5x2; leave it out",
        ),
        ("gru:units=0", (5, 2), "--arch gru: units=0 must be a whole number from 1 to 100000"),
        (
            "crnn",
            (3, 9, 1),
            "--arch crnn: needs images of one size, at least 4x4, but the input is 3x9x1; give --image-size",
        ),
        ("autoencoder", (None, 4), "--arch autoencoder: needs inputs of one size but gets ?x4; say it"),
        ("cnn", (20,), "--arch cnn: needs images (height x width x channels) but the input is 20; use mlp"),
    ],
)
def test_refusals(text, shape, message):
    with pytest.raises(UsageError) as caught:
        architecture(text, shape, 10, "softmax")
    assert str(caught.value) == message


def test_defaults_are_known_without_numpy():
    from dltool.names import ARCHITECTURES as LISTED

    for name in ARCHITECTURES:
        defaults = dict(ARCHITECTURES.get(name).__kwdefaults__)
        defaults.pop("rescale")
        assert defaults == LISTED[name]


def test_resnet9_has_the_layers_and_parameters_of_its_source():
    graph = architecture("resnet9:width=64", (32, 32, 3), 10, "softmax")
    assert kinds(graph).count("Conv2D") == 8
    assert kinds(graph).count("MaxPooling2D") == 3
    sizes = [shape for shape, kind in zip(graph.shapes, kinds(graph), strict=True) if kind == "Add"]
    assert sizes == [(16, 16, 128), (4, 4, 512)]
    weights = 9 * (3 * 64 + 64 * 128 + 2 * 128 * 128 + 128 * 256 + 256 * 512 + 2 * 512 * 512) + 512 * 10
    assert sum(node.layer.filters for node in graph.nodes if type(node.layer).__name__ == "Conv2D") == 2240
    assert graph.num_parameters == weights + 10 + 4 * 2240


def test_resnet9_divides_what_its_dense_layer_sees():
    graph = architecture("resnet9:width=4", (16, 16, 3), 2, "softmax")
    assert kinds(graph)[-3:] == ["GlobalMaxPooling2D", "Rescaling", "Dense"]
    assert graph.nodes[-2].layer.scale == 1 / 8
