"""The command line: one file a verb.

`main` builds the parser from `VERBS`; a verb's module is imported when it is called, so that `--help` stays quick.
Errors become messages and exit codes here and nowhere else.
"""

from weighbridge.shell.cli.main import main

__all__ = ["main"]
