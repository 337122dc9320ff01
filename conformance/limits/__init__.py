"""From where on an implementation is wrong.

shrink.py   the smallest sizes and magnitudes at which it still fails
atlas.py    its scalar functions, over all numbers that there are; atlas.toml: their bounds
command.py  ``shrink``
"""
