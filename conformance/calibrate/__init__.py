"""What the suite can tell, and how often it errs.

certify.py        every case against every wrong convention
halves.py         which of them half precision still tells
trials.py         a fault put in, and what the diagnosis says
score.py          how often the diagnosis is right
own_networks.py   whether diagnose ever says "all right" of somebody's network that is not
ensemble.py       ensembles of training runs, made and measured
envelope.py       their early steps
curve_mutants.py  training mistakes that a curve must show
pool.py           work spread over the cores
command.py        ``certify`` and ``ensemble``
"""
