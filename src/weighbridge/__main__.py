"""`python -m weighbridge`."""

from weighbridge.shell.cli.main import script

if __name__ == "__main__":
    script()
