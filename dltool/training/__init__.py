"""The one training loop: ``run`` is its record, ``loop`` its three functions, ``objective`` what is minimised and
measured, ``callbacks`` who is told.

Imports ``dltool.engine``, ``dltool.errors`` and ``dltool.registry`` only.
"""
