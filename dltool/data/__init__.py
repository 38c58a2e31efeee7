"""From paths to batches.

What the user typed becomes data sets in ``opening``, by way of ``image_opening`` and ``array_opening``, and rows to
predict in ``inputs``. ``folder`` and ``lists`` find files and their labels (a ``listing``), ``images`` is the one image
reader, ``headers`` decides size and colour, ``arrays``, ``npz`` and ``named_arrays`` read arrays, ``labels`` says what
their labels mean, ``strings`` where they are texts, ``tokens`` checks whole numbers. ``dataset``, ``image_folder``,
``windows`` (of a series) and ``reconstruction`` (rows as their own targets) serve rows, ``split``, ``groups`` and
``loader`` choose and order them, and ``augment`` changes training rows at random.

Imports ``dltool.engine``, ``dltool.errors`` and ``dltool.registry`` only.
"""
