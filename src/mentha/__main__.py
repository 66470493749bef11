"""`python -m mentha`, the same as the command `mentha`."""

from mentha.cli import main

main()
