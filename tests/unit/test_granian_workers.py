"""The main process of the server, and the worker processes that it waits for."""

import os

from app.server.granian import server


def _ends(*_args: object) -> None: ...


def test_a_worker_that_another_thread_has_waited_for_is_not_alive() -> None:
    made = server("app.wsgi:app", host="127.0.0.1", port=0, workers=1, threads=1)
    made._init_shared_socket()  # type: ignore[no-untyped-call]
    worker = made._spawn_worker(idx=0, target=_ends, callback_loader=None)
    worker.inner.start()
    os.waitpid(worker.inner.pid, 0)
    assert not worker.is_alive()  # type: ignore[no-untyped-call]
