"""Run a server in a thread, on a free port of 127.0.0.1, for the time of a `with` block: for tests and benchmarks."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from nbest.errors import EngineError, MissingExtraError

START_SECONDS = 30.0


@contextmanager
def serve(app: Any) -> Generator[str]:
    """Run the ASGI application `app`, and yield its base URL, which ends in `/v1`.

    Requests that are still open at the end of the block are dropped. Raises MissingExtraError, and EngineError if
    the server does not start.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("uvicorn", "serve") from error

    class Server(uvicorn.Server):
        async def startup(self, sockets: "list[socket.socket] | None" = None) -> None:
            await super().startup(sockets)
            ready.set()

    ready = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, args=([listener],), name="nbest-server", daemon=True)
        thread.start()
        try:
            if not ready.wait(START_SECONDS) or not server.started:
                raise EngineError(f"the server did not start on {listener.getsockname()} in {START_SECONDS:g} s")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = server.force_exit = True
            thread.join()
