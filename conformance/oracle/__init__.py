"""What is right. Nothing here runs a framework, and nothing that runs one imports this.

equations.py    the equations in NumPy, with gradients by hand, after common/EQUATIONS.md
tape.py         arrays that know how a gradient reaches what they were made of
conventions.py  every choice of an implementation, as a value that can be wrong
drops.py        what conventions drop between layers
passes.py       one pass over a minibatch under conventions
evaluation.py   a case evaluated under them
precise.py      the right answer where float64 is too coarse: the same equations in 512 bits
rounding.py     how far rounding may move every element of it
formats.py      how far rounding moves an answer in half precision
truth.py        the right answer to a case, and its noise floor
"""
