"""How close is close.

compare.py   the only module of the suite that compares numbers, tensor by tensor
rungs.py     the rungs of the ladder, and the part of them that somebody answers
elements.py  the same element by element, and where a NaN is the right answer
bounds.toml  the bounds, by device, dtype and rung
claimed.py   numbers that a training run claims, and those that follow
"""
