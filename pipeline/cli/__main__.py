"""`python -m pipeline.cli`, the same as `paredown`."""

from pipeline.cli import main

main()
