"""Start a program so that Ctrl-C during its imports prints one line."""

import os
import signal
from importlib import import_module
from typing import NoReturn

_INTERRUPTED = 128 + signal.SIGINT  # the exit status that a shell uses
_STDERR = 2


def launch(program: str, module: str) -> None:
    """Import a module and call its `main`.

    Ctrl-C during the import exits at once, because a library could catch a KeyboardInterrupt.
    """

    def exit_now(_number: int, _frame: object) -> NoReturn:
        os.write(_STDERR, f"{program}: interrupted\n".encode())
        os._exit(_INTERRUPTED)

    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not with nohup
    if is_default:
        signal.signal(signal.SIGINT, exit_now)
    main = import_module(module).main
    if is_default:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
