"""Which version of a framework computes what: an environment for each that is asked about, what it
answers there, and what of it is stored.

wanted.py       a version that somebody names, and what must go with it
environment.py  an environment of it, made and removed
ask.py          what is asked in it: cases, the quick witnesses, every declared deviation
answers.py      what it answers, made small
stored.py       what came of it, as data; since when a deviation is there
command.py      ``atlas``
"""
