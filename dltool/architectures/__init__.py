"""Networks from words: ready architectures by name, and the layer words of ``dltool build``.

    grammar vocabulary literals      layer words -> checked Words; the standard library only: a typo costs no numpy
    words                            Words -> Graph
    catalog                          the registry of ready architectures, one family per file:
    mlp lenet cnn vgg_small resnet_small resnet9       tables and images
    recurrent textcnn crnn (sequences)                 series, texts, strings in images
    autoencoder                                        anything, back to itself

Imports ``dltool.engine``, ``dltool.errors``, ``dltool.registry`` and ``dltool.names`` only.
"""
