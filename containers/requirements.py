"""Print the requirements of pyproject.toml and of the extras that are named, so that an image has them in a layer below
the sources and a change of ours costs no download."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = [line for name in sys.argv[1:] for line in project["optional-dependencies"][name]]
print("\n".join([*project["dependencies"], *extras]))
