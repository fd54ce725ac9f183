"""Lets the tests import the project, and sets what TensorFlow needs before it is imported."""

import sys
from pathlib import Path

from pipeline.environment import prepare

prepare()
sys.path.insert(0, str(Path(__file__).parent))
