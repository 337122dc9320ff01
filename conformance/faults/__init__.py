"""Everything that somebody's own network may do differently, for the evaluator of models/.

fault.py      what a fault is: a change of the weights, of the settings, or of the data
orders.py     gates that are taken for others
weights.py    transpositions, biases and directions that are read wrongly
function.py   equations and stacking that differ
data.py       axes, steps and states that are read wrongly
catalogue.py  all of these for one network, other options of its framework first
lengths.py    lengths that nobody gave, but the data show
inferred.py   numbers that outputs give away: a clip, a forget bias, a dropout's rate
subject.py    one way to understand a file, and what a group of faults makes of it

mutants/ has the same for the oracle, which knows one spec and gradients; what both have bears the
same name in both.
"""
