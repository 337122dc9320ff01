"""The parent's side: it asks a worker, survives its death, and writes what it answers.

ladder.py    every case of one backend: a record
several.py   several workers that share a record's cases
journal.py   what of a record is done, for a run that was interrupted
room.py      whether it was the disk, and not a framework
main_job.py  what the main job trains beside a record
training.py  one training run, with checkpoints
command.py   ``record`` and ``train``
plan.py      which runs ``train`` is asked for
asked.py     a training run that is asked for
child.py     a worker process seen from its parent
team.py      several workers that share every minibatch
fence.py     a network that nobody else is in, for them
"""
