"""`python -m vrcodec` is the command `vrcodec`."""

from vrcodec.cli.main import main

if __name__ == "__main__":
    main()
