"""What the files of each generation of Keras say, as pure functions on JSON: each dialect -> the canonical form.

    keras1                       Keras 1 -> Keras 2's spelling
    keras3 operations operation_rules      Keras 3 -> Keras 2's spelling; functions between layers -> layers
    tensorflow_functions         functions of TensorFlow between layers -> those of Keras 3
    tensorflow_nodes tensorflow_node_rules      nodes of TensorFlow's graph between layers -> functions
    keras2 keras2_parts          nested models of layers and calls -> one list of layers
    composites                   layers that do the work of two -> both
    shared_layers                layers that are in several nested models
    channels_first               images with the channels before height and width -> with the channels last

Imports ``dltool.engine``, ``dltool.errors`` and, of the package around it, ``graph_json``, ``layer_config`` and
``json_text``.
"""
