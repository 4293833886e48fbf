"""A package ``pynq`` for tests of the driver; put this folder on sys.path to use it."""
