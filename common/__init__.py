"""What every framework agrees on: the equations, the spec, the parameters, the text, the recipe.

Imports NumPy and safetensors only. ``storage`` is what is written to a disk and read from it,
``texts`` the books that are trained on.
"""

SUITE_VERSION = "0.1.0"
"""Records of different suite versions are never compared: cases and bounds may have changed."""
