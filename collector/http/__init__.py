"""What every endpoint needs of HTTP: bodies, lines, formats, deadlines, answers."""
