"""The teaching chapters: a Sphinx site (conf.py), and the experiments whose results it shows."""
