"""How sequence networks begin: tokens, steps of numbers, or the rows of an image. Shared by their families."""

from dltool.architectures.base import positive
from dltool.engine.graph import GraphBuilder, describe
from dltool.engine.layers import Embedding, Masking, Rescaling, Reshape, Shape
from dltool.errors import UsageError


def sequence_input(
    builder: GraphBuilder,
    name: str,
    shape: Shape,
    *,
    rescale: bool,
    vocabulary: int,
    embedding: int,
    masks: bool,
    masking: bool = False,
) -> int:
    """The input as (steps, features).

    Args:
        shape: of one sample: (steps,) tokens where ``vocabulary`` is above 0, else (steps,) numbers; (steps, features);
            (height, width, channels), whose rows become steps.
        rescale: scale the pixels of an image from 0..255 to 0..1.
        masks: whether what follows can leave padding out, token 0 or, with ``masking``, steps of zeros.

    Raises:
        UsageError: another shape, or tokens without a vocabulary.
    """
    x = builder.input(shape)
    if vocabulary:
        positive(name, vocabulary=vocabulary, embedding=embedding)
        if len(shape) != 1:
            raise UsageError(
                f"--arch {name}: vocabulary is for rows of whole numbers, but the input is {describe(shape)}; "
                "leave it out"
            )
        return builder.add(Embedding(vocabulary, embedding, mask_zero=masks), x)
    if len(shape) == 1:
        x = builder.add(Reshape((shape[0] if shape[0] is not None else -1, 1)), x)
    elif len(shape) == 3:
        x = builder.add(Rescaling(scale=1 / 255), x) if rescale else x
        if None in shape:
            raise UsageError(f"--arch {name}: needs images of one size but the input is {describe(shape)}; say it")
        x = builder.add(Reshape((shape[0], shape[1] * shape[2])), x)
    elif len(shape) != 2:
        raise UsageError(
            f"--arch {name}: needs a sequence (steps x features) or whole numbers (steps) but the input is "
            f"{describe(shape)}; use mlp"
        )
    return builder.add(Masking(), x) if masking and masks else x
