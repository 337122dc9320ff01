"""Record what the backends compute, then judge the records. Imports no framework."""
