"""The version of the package, which model files name. Imports nothing."""

__version__ = "0.1.0"
