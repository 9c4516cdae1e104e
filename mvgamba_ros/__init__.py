"""Metric 3D shape of an unknown object from a handful of posed camera views."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)  # the built msg/, srv/ and action/ modules join this package
__version__ = "0.1.0"
