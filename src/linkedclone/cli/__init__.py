"""The command line. Thin: it reads what is wanted, calls ``app``, and shows what came of it."""
