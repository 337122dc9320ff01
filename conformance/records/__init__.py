"""What is written, and read again where no framework is at hand.

ladder.py      records of the cases: record.json, arrays
training.py    training runs: run.json, digests, curves
checkpoint.py  a run that was interrupted
difference.py  the evidence of a step that left the lattice's common path
witness.py     what frameworks agree on, stored; witnesses/ holds it
command.py     ``witness``
schema.py      every field of record.json and run.json, and nothing else
"""
