"""Model files: the only place that knows HDF5, JSON configs and Keras's versions.

    reading writing saved        a path -> SavedModel and back; what a file holds
    hdf5                         the file's content, parsed in a limited child process, where run
    hdf5_child hdf5_contents archive
    loading keras3_variables     arrays -> the weights of layers, by position or by Keras 3's paths
    dialects                     what the files of each generation of Keras say, as pure functions on JSON
    network graph_json           any of them -> one canonical form -> Graph
    stored_layers stored_weights       the arrays by layer, by name; arrays that old versions arranged otherwise
    layer_config keras_config keras_operations    layer configs in both directions, and what Keras will do differently
    training_config optimizer_state own_texts       all besides the network: Keras's, and what only dltool writes
    converting keras3_config     the same model in Keras 3's own formats
    config_file                  networks without weights: what model.to_json() of Keras gives
    atomic lock digest json_text       whole files or none, one writer at a time; damage found; texts -> JSON

Imports ``dltool.engine``, ``dltool.errors`` and ``dltool.registry`` only.
"""
