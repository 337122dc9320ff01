"""The child process: the only place where a framework runs. It answers, and knows no right answer.

__main__.py     ``python -m conformance.worker``: requests in, replies out, as lines of JSON
ladder.py       every rung of a case, and its invariances
training.py     training, an epoch at a time
agreement.py    whether several workers train the same thing
step_finder.py  which step left the lattice's common path
failure.py      what it answers where an exception kept it from an answer
lifetime.py     a process that ends with its parent
"""
