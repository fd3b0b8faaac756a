"""`python -m fastaug`: looks at a folder of images from the command line."""

import sys

from fastaug.command import main

if __name__ == "__main__":
    sys.exit(main())
