"""How close is close.

compare.py   the only module of the suite that compares numbers
bounds.toml  the bounds, by device, dtype and rung
claimed.py   numbers that a training run claims, and those that follow
"""
