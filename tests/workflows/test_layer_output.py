"""Features of any layer are the numbers that flow there."""

import numpy as np
import pytest

from dltool.architectures.words import from_words
from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Add, Dense
from dltool.engine.model import Model
from dltool.engine.reference import run_forward
from dltool.errors import UsageError
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import write
from dltool.settings import PredictSettings
from dltool.workflows import predict
from dltool.workflows.layer_output import up_to_layer


def test_every_layer_of_a_branched_network_can_be_read(tmp_path):
    words = ["x=input:5", "a=dense:4,relu@x", "b=dense:4@x", "sum=add@a+b", "c=dense:3,softmax@sum"]
    model = Model.build(from_words(words), seed=3)
    write(SavedModel(model), tmp_path / "m.h5")
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    tape = run_forward(model.graph, model.weights.views, [x])
    for index, node in enumerate(model.graph.nodes):
        settings = PredictSettings(str(tmp_path / "m.h5"), (str(tmp_path / "x.npy"),), 4, 1, "threads", layer=node.name)
        result = predict.run(settings)
        found = np.stack([row.outputs[0] for row in result.rows])
        np.testing.assert_allclose(found, tape.values[index], rtol=1e-5, atol=1e-6)
        assert result.classes is None and result.output_names == (node.name,)


def test_only_what_leads_to_the_layer_is_kept():
    words = ["x1=input:10", "y1=dense:5@x1", "x2=input:20", "both=concatenate@y1+x2", "dense:2"]
    model = Model.build(from_words(words))
    part = up_to_layer(model, "y1")
    assert [node.name for node in part.graph.nodes] == ["x1", "y1"]
    assert part.weights is model.weights


def test_a_layer_used_twice_has_no_single_output():
    builder = GraphBuilder()
    x = builder.input((3,))
    shared = Dense(3, name="shared")
    graph = builder.graph(builder.add(Add(), builder.add(shared, x), builder.add(shared, x)))
    with pytest.raises(UsageError, match="'shared' is used in 2 places"):
        up_to_layer(Model.build(graph), "shared")
    with pytest.raises(UsageError, match="no layer 'shred'; did you mean 'shared'"):
        up_to_layer(Model.build(graph), "shred")
