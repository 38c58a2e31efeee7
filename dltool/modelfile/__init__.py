"""Model files: the only place that knows HDF5, JSON configs and Keras's versions.

    reading writing saved        a path -> SavedModel and back; what a file holds
    hdf5                         the file's content, parsed in a limited child process, where run
    hdf5_child hdf5_contents archive
    loading keras3_variables     arrays -> the weights of layers, by position or by Keras 3's paths
    keras3 keras2 graph_json     dialects -> one canonical form -> Graph
    layer_config keras_config    layer configs in both directions, and what Keras will do differently
    training_config optimizer_state
    config_file                  networks without weights: what model.to_json() of Keras gives
    atomic digest                whole files or none; damage found

Imports ``dltool.engine``, ``dltool.errors`` and ``dltool.registry`` only.
"""
