"""Where a fault begins, and what it is.

location.py  the direction, step, layer and gate at which a record leaves the oracle
explain.py   which wrong conventions reproduce everything that was recorded
layouts.py   how frameworks lay their weights out
command.py   ``diagnose``: the same for somebody's own network
"""
