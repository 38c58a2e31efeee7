"""Model files: the only place that knows HDF5, JSON configs and Keras's versions.

    reading writing saved        a path -> SavedModel and back; what a file holds
    hdf5                         the file's content, parsed in a limited child process, where run
    hdf5_child hdf5_contents archive
    loading keras3_variables     arrays -> the weights of layers, by position or by Keras 3's paths
    keras1 keras2 keras2_parts keras3      dialects, each as pure functions on JSON
    shared_layers                layers that are in several nested models
    network channels_first graph_json      any of them -> one canonical form -> Graph
    operations operation_rules tensorflow_functions      calls of functions between layers -> layers
    tensorflow_nodes tensorflow_node_rules       nodes of TensorFlow's graph between layers -> functions
    stored_weights               arrays that old versions arranged otherwise
    layer_config keras_config keras_operations    layer configs in both directions, and what Keras will do differently
    training_config optimizer_state
    converting keras3_config     the same model in Keras 3's own formats
    config_file                  networks without weights: what model.to_json() of Keras gives
    atomic digest                whole files or none; damage found

Imports ``dltool.engine``, ``dltool.errors`` and ``dltool.registry`` only.
"""
