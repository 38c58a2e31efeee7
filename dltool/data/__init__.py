"""From paths to batches.

``folder`` lists class folders, ``images`` is the one image reader, ``headers`` decides size and colour, ``arrays`` and
``labels`` read .npy files, ``dataset`` and ``image_folder`` serve rows, ``split`` and ``loader`` choose and order them.
``opening`` turns what the user typed into data sets, ``inputs`` into rows to predict.

Imports ``dltool.engine``, ``dltool.errors`` and ``dltool.registry`` only.
"""
