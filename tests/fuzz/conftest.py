"""The long setting, which ``--hypothesis-profile fuzz`` chooses."""

from hypothesis import settings

settings.register_profile("fuzz", max_examples=400, derandomize=False, print_blob=True)
