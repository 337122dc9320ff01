"""Records against what is right. Reads files only: no framework, and nothing that runs one.

ladder.py      every case of every record, from the first rung up
training.py    every training run
lattice.py     digests against witnesses, and the step at which they part
curves.py      float32 curves against ensembles; ensembles/ holds them
ensemble_file.py  whether a file of ensembles is whole
reasons.py     why cases fail, and who is the odd one out
everything.py  both, over a results folder
command.py     ``judge``
claims.py      what records and runs say of themselves, against what can be known
required.py    the matrix: who must answer what; required/ holds it
runs.py        a training run's files against one another
replay.py      training by the oracle, where it is cheap
basis.py       the files that a verdict rests on, and their hashes
"""
