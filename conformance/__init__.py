"""Everything that asks, answers, judges and shows. A room a folder, in the order of the data's way:

cases      what is asked: the table of cases, what a run is given, what must hold of every network
oracle     the right answer: the equations, their conventions, and how far rounding moves them
closeness  how close is close: the one module that compares numbers, and the bounds as data
mutants    every wrong convention, as a change of the equations
records    what is written: records of the ladder, training runs, checkpoints, witnesses
worker     where a framework runs: the child process, which answers and never judges
run        the parent's side: it asks workers, and writes records and training runs
models     somebody's own network: read from a file in a framework's layout, and computed
files      files of such a network, read as frameworks write them
convert    such a network in another framework, with a certificate
faults     everything that such a network may do differently
diagnose   where a fault begins, and which wrong convention it is
captures   live models captured, and two captures compared
verdict    what was found, what excuses it, and how a terminal shows it
judge      records and training runs against the oracle, witnesses and ensembles
limits     from where on an implementation is wrong: the smallest case, scalar functions
report     the page, and what else is made of a verdict
calibrate  what the suite can tell, and how often it errs: certificates, scores, ensembles
studies    comparisons and measurements of speed
versions   which version of a framework computes what: an environment for each, asked and stored
gpu        a GPU that is lent for minutes: what to ask it, and what comes of it

The same work has the same file name in every room: ``ladder.py`` for the cases, ``training.py`` for
training runs, ``command.py`` for what the command line offers. Which room may import which is a
table in tests/test_architecture.py: the judge never imports what runs, and what runs never imports
the oracle.

At this level stand the entry points alone (``__main__``, ``parser``, ``check_backend``,
``one_gpu``, ``installed``), and what every room may import: ``progress`` and ``options``.
"""
