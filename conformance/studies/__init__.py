"""Comparisons, and speed.

compare_cells.py    cells and frameworks side by side
compare_texts.py    texts and authors side by side
compare_runs.py     the training runs behind both, each in a Python that has its framework
evaluate.py         what a trained model makes of a text
plot.py             the pictures
bench.py            speed as ratios within one run
bench_workers.py    training by several processes
bench_main_job.py   what the main job costs, stage by stage
bench_page.py       what bench found, as a file and as the README's table
bench_contestant.py one side of a race, in a process of its own
command.py          ``compare`` and ``bench``
"""
