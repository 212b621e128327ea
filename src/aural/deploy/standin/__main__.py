"""`python -m aural.deploy.standin FOLDER PORT`: the stand-in's own process."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from aural.deploy.standin.app import create_app
from aural.deploy.standin.wire import HOST

folder, port = Path(sys.argv[1]), int(sys.argv[2])
app = create_app(folder)
uvicorn.run(app, host=HOST, port=port, ws="websockets-sansio", log_level="warning", timeout_graceful_shutdown=30)
