"""Lets the tests import the project, and sets what has to be set before TensorFlow is imported."""

import sys
from pathlib import Path

from pipeline.environment import prepare

prepare()
sys.path.insert(0, str(Path(__file__).parent))
