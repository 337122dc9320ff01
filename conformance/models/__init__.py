"""Somebody's own network: read from a file as frameworks lay it out, and computed.

layouts.py     the names of tensors, their shapes and the order of gates, as data
frameworks.py  what each framework's layers can compute: options, their values and defaults
reading.py     a file's tensors as a network; none is ignored
unpacking.py   a layer's tensors as a layout has them, gates in canonical order
writing.py     the other way: a network as a framework would store it
leftovers.py   what the tensors without a place may be
given.py       X, outputs, states and lengths
views.py       every way in which their shapes can be understood
network.py     a network, and every choice of how it is computed
evaluator.py   the forward pass, vectorised and without a tape
rounding.py    float16, TF32, int8 …, simulated
"""
