"""Model configs as Keras stores them, for the tests of the dialects."""

from collections.abc import Sequence


def functional(*layers: dict, inputs: dict[str, Sequence[int]], output: list) -> dict:
    """A model config of tf.keras whose layers lie between its inputs and its output."""
    given = [
        {"class_name": "InputLayer", "name": n, "config": {"batch_input_shape": [None, *shape]}, "inbound_nodes": []}
        for n, shape in inputs.items()
    ]
    config = {
        "layers": [*given, *layers],
        "input_layers": [[n, 0, 0] for n in inputs],
        "output_layers": [output],
    }
    return {"class_name": "Functional", "config": config}
