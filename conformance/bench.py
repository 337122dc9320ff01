def bench(options):
    return 0
