"""What stands on a disk: written whole or not at all, and never believed before it is checked.

files.py      written whole, or not at all; folders in which nothing leads elsewhere
pages.py      a part of a page that is made from data
reading.py    opened only if it is a file, within limits of size, depth and numbers
shape.py      which fields data out of a file has, and what is in them
sums.py       SHA-256 of files, and lists of them
locks.py      one writer at a time
"""
