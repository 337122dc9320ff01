"""What was found.

results.py            results of cases and of training runs, and the verdict over all of them
deviations.py         known faults of frameworks: what they excuse, and when they are stale
deviations.toml       these faults
escape.py             names out of records, made harmless for Markdown
heat.py               how large the errors are, where
terminal.py           the table of a verdict
terminal_training.py  the same for training runs
narrow.py             tables that a terminal has no room for
compact.py            the same in a row a framework, for a README
sentence.py           the verdict in one sentence
outcome.py            PASS, FAIL or INCOMPLETE: one rule for all who show it
asked.py              what the judge was asked
"""
