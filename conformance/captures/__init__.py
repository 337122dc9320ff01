"""Live models: captured by a command, and two captures compared.

live.py      the process that runs a model in its framework and writes the capture
side.py      one of two captures: its layers one by one, in canonical names, with time first
rungs.py     two sides, rung by rung: weights, what went in, outputs and states, loss, gradients
parting.py   where two sides part, and which convention explains it
command.py   ``capture`` and ``diff``
"""
