"""From where on an implementation is wrong.

shrink.py   the smallest sizes and magnitudes at which it still fails
command.py  ``shrink``
"""
