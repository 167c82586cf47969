"""An OpenAI-compatible endpoint on this machine whose replies the test writes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class ScriptedEndpoint:
    """Answers a prompt with what `reply` returns for it, and notes what it is asked."""

    def __init__(self, reply: Callable[[str], str]) -> None:
        """It listens from here on, until the `with` block ends."""
        self.asked: list[str] = []
        """Each prompt and its seed."""
        self.status, self.delay = 200, 0.0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = body["messages"][-1]["content"]
                time.sleep(endpoint.delay)
                endpoint.asked.append(f"{text} {body.get('seed')}")
                usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
                message = {"role": "assistant", "content": reply(text)}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                row = {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}
                data = json.dumps(row).encode()
                try:
                    self.send_response(endpoint.status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the client was killed

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
