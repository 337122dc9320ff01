"""The report: a verdict as a page, as tables for machines, and against an earlier one.

verdict_file.py   verdict.json: read, checked against verdict.schema.json, made anew where stale
rows.py           the matrix of implementations and rungs
causes.py         failing and deviating cases by what causes them
page.py           the page: page.html, page.css and page.js, with charts.py's charts in it
formats.py        JUnit XML, the summary for a pull request, the badge
changes.py        what changed since an earlier verdict
command.py        python -m conformance report
page_speed.py     how long the page takes, for python -m conformance bench --report
"""
