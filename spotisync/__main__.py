"""`python -m spotisync` is the same as `spotisync`."""

from spotisync.cli import main

if __name__ == "__main__":
    main()
