"""Extensions of Sphinx for this site alone; AUTHORS.md says what they are for."""
