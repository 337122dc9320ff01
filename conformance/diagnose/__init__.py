"""Where a fault begins, and what it is: for the judge, and for somebody's own network.

location.py   the direction, step, layer and gate at which a record leaves the oracle
gates.py      which gates of a step can explain it alone
explain.py    which wrong conventions reproduce everything that was recorded

command.py    ``diagnose``: somebody's own network, which models/ reads and computes
search.py     which faults reproduce its outputs, alone or two together
precision.py  whether float16, TF32 or int8 explain the difference
undecided.py  what the data cannot decide
unknown.py    what there is to say when nothing reproduces the outputs
words.py      the line that mends a wrong order of gates
answer.py     the answer in sentences and as JSON, and the exit code
captured.py   the questions of a capture: every layer, with what it was given and made
notes.py      tensors that were not used, and how the file was understood
"""
