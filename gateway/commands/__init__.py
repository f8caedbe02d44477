"""The commands of `tickwire`, a module each, imported when it is asked for so that `--help` stays quick."""
