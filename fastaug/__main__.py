"""`python -m fastaug`: looks at a folder of images from the command line."""

import sys

if __name__ == "__main__":
    try:
        from fastaug import ImageDataGenerator  # noqa: F401 (its error says how to build fastaug)
        from fastaug.defaults import do_without
        from fastaug.show.command import main
    except ImportError as error:
        print("python -m fastaug:", error, *getattr(error, "__notes__", ()), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # while NumPy and the rest are imported
        sys.exit(130)
    do_without()
    sys.exit(main())
