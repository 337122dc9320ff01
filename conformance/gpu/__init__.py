"""A GPU that is lent for minutes: what to ask it, in order of worth, and what comes of it.

plan.py       the stages as data (plan.toml), and their sizes, in full and for a rehearsal
estimate.py   how long each takes, from counts of programs, launches and products
carry_out.py  every stage in processes of its own, with a limit; its result is written at once
measure.py    the child of a stage that neither records nor trains: passports, modes, speed
members.py    many members of an ensemble at once, honest ones and such as make a mistake
pack.py       few files, not large, there; unpacked and checked here
trim.py       what came back, made small
evidence.py   the same, and what is said of it: what is judged again on every run of the tests
page.py       the same as tables, for the README and docs/gpu.md
command.py    ``gpu``
"""
