"""Starts a program; Ctrl-C while its modules are still being imported prints one line."""

import os
import signal
from importlib import import_module
from typing import NoReturn

_INTERRUPTED = 128 + signal.SIGINT  # as a shell reports the end by a signal
_STDERR = 2


def launch(program: str, module: str) -> None:
    """Import a module and call its `main`.

    No import needs to be undone, so Ctrl-C exits at once: an exception could be caught by a
    library, or be shown as a traceback.
    """

    def exit_now(_number: int, _frame: object) -> NoReturn:
        os.write(_STDERR, f"{program}: interrupted\n".encode())
        os._exit(_INTERRUPTED)

    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so in nohup
    if is_usual:
        signal.signal(signal.SIGINT, exit_now)
    main = import_module(module).main
    if is_usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
