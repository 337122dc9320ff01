"""What is asked.

case.py         what a case is, and the numbers in it
table.py        the cases, as data: a name gives spec, numbers and recipe
regimes.py      cases of extreme magnitudes and sizes, and with a NaN
wider.py        cases of two directions, of layers of different sizes, of a projection, of dropout
halves.py       half precision: its formats, and what the cases are in them
points.py       a case by its sizes and magnitudes, named by them or drawn
quick.py        the fewest that tell every wrong convention; quick.json: their names
given.py        what a run is given beside the suite: the text, and perhaps somebody's weights
invariances.py  what must hold of an implementation by itself: a batch permuted, a sequence split
command.py      ``cases``, and the options by which every command chooses cases
"""
