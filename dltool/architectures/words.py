"""Layer words -> Graph."""

from collections.abc import Sequence

from dltool.architectures.grammar import Word, parse
from dltool.engine.graph import Graph, GraphBuilder, describe
from dltool.engine.layers import LAYERS, InputLayer, Rescaling, Shape
from dltool.errors import UsageError
from dltool.registry import nearest

NORMALISES = ("Rescaling", "Normalization", "BatchNormalization")
"""A network that begins with one of these gets no Rescaling from us."""


def from_words(words: Sequence[str] | Sequence[Word], input_shape: Shape | None = None, rescale: bool = False) -> Graph:
    """The network that layer words describe.

    Args:
        words: as typed, or parsed.
        input_shape: for networks whose first word is no ``input``; of one sample, ``(28, 28, 1)``.
        rescale: scale pixels 0..255 to 0..1 after an image input (height x width x 1, 3 or 4), unless the first word
            normalises.

    The outputs are the layers that no other takes, in order.

    Raises:
        UsageError: an input or a name is unknown, shapes do not fit; the message names the word or both layers.
    """
    parsed = parse(words) if words and isinstance(words[0], str) else list(words)
    if not parsed:
        raise UsageError("layer words: none given; write for example flatten dense:10,softmax")
    builder = GraphBuilder()
    last = _start(builder, parsed, input_shape, rescale)
    places = {node.name: index for index, node in enumerate(builder.nodes)}
    for word in parsed:
        if word.class_name == "InputLayer":
            sources: tuple[int, ...] = ()
        else:
            sources = tuple(_place(places, name, word) for name in word.inputs) or _before(last, word)
        if word.name in places:
            raise UsageError(f"{word.text}: the name {word.name!r} is taken; give each layer its own")
        last = builder.add(_layer(word), *sources)
        places[builder.nodes[last].name] = last
    taken = {source for node in builder.nodes for source in node.inputs}
    free = [i for i, node in enumerate(builder.nodes) if i not in taken and not isinstance(node.layer, InputLayer)]
    _check_inputs_are_used(builder, taken)
    return builder.graph(*free)


def _start(builder: GraphBuilder, words: list[Word], shape: Shape | None, rescale: bool) -> int | None:
    """The input that ``input_shape`` asks for."""
    if words[0].class_name == "InputLayer":
        if shape is not None and len([w for w in words if w.class_name == "InputLayer"]) == 1:
            own = words[0].options["shape"]
            if tuple(shape) != ((own,) if isinstance(own, int) else tuple(own)):
                raise UsageError(f"{words[0].text}: the input is {describe(shape)} elsewhere; leave the word out")
        return None
    if shape is None:
        raise UsageError("--input: missing; give the shape of one sample, as --input 28x28x1, or --data")
    node = builder.input(shape)
    image = len(shape) == 3 and shape[-1] in (1, 3, 4)
    if rescale and image and words[0].class_name not in NORMALISES:
        node = builder.add(Rescaling(scale=1 / 255), node)
    return node


def _before(last: int | None, word: Word) -> tuple[int, ...]:
    if last is None:
        raise UsageError(f"{word.text}: has nothing before it; begin with --input or an input word")
    return (last,)


def _place(places: dict[str, int], name: str, word: Word) -> int:
    if name not in places:
        close = nearest(name, list(places))
        advice = f"did you mean {close!r}?" if close else "name a layer that comes earlier"
        raise UsageError(f"{word.text}: no layer {name!r} before it; {advice}")
    return places[name]


def _layer(word: Word):
    try:
        return LAYERS.get(word.class_name)(name=word.name, **_options(word))
    except UsageError as error:
        raise UsageError(f"{word.text}: {error}") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{word.text}: {error}; see 'dltool help layer-words'") from error


def _options(word: Word) -> dict:
    """Where Keras wants a tuple and one number was written."""
    single = {"InputLayer": "shape", "Reshape": "target_shape"}.get(word.class_name)
    value = word.options.get(single) if single else None
    return {**word.options, single: (value,)} if isinstance(value, int) else word.options


def _check_inputs_are_used(builder: GraphBuilder, taken: set[int]) -> None:
    for index, node in enumerate(builder.nodes):
        if isinstance(node.layer, InputLayer) and index not in taken:
            raise UsageError(f"layer {node.name!r}: no layer takes this input; connect it with @{node.name}")
