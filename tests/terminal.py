"""A terminal to show progress on."""

import io


class Terminal(io.StringIO):
    def isatty(self):
        return True
