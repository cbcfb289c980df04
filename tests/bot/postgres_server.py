"""A PostgreSQL server of the tests' own: an ordinary user's, on a temporary folder and a socket."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.store.database import upgrade_database

SUPERUSER = "understudy"
_USERS = ("postgres", "nobody")  # the server refuses to run as root
_DEBIAN = Path("/usr/lib/postgresql")


class Server:
    """A running server; `number` counts the databases that were made."""

    def __init__(self, folder):
        self.folder, self.number, self.has_template = folder, 0, False

    def url(self, name):
        return f"postgresql+asyncpg://{SUPERUSER}@/{name}?host={self.folder}"

    def make(self, template="template0"):
        """Return the URL of a new database."""
        self.number += 1
        name = f"t{self.number}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    async def make_migrated(self):
        """Return the URL of a new database with the current tables, which are made only once."""
        if not self.has_template:
            self.run("CREATE DATABASE migrated TEMPLATE template0")
            await upgrade_database(self.url("migrated"))
            self.has_template = True
        return self.make("migrated")

    def disconnect_all(self):
        """End all connections to the databases of tests."""
        self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 't%'")

    def run(self, statement, name="postgres"):
        import psycopg

        parts = {"host": str(self.folder), "user": SUPERUSER, "dbname": name}
        with psycopg.connect(**parts, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None


def find_programs():
    """Return the folder of initdb and postgres, or None."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(_DEBIAN.glob("*/bin"), reverse=True)
    return next((one for one in folders if (one / "postgres").is_file()), None)


@contextmanager
def running(*, fsync="off"):
    """Run a server; skip the test if there is none to run."""
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    programs = find_programs()
    if programs is None:
        pytest.skip("needs PostgreSQL's programs (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="understudy-pg-"))
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    if os.geteuid() == 0:
        user = next(pwd.getpwnam(one) for one in _USERS if _exists(one))
        os.chown(folder, user.pw_uid, user.pw_gid)
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        make = (programs / "initdb", "-D", folder / "data", "-U", SUPERUSER, "-A", "trust", "-N")
        subprocess.run((*make, "-E", "UTF8", "--locale=C"), check=True, **options)
        settings = (f"fsync={fsync}", "listen_addresses=", f"unix_socket_directories={folder}")
        words = [word for one in settings for word in ("-c", one)]
        command = (programs / "postgres", "-D", folder / "data", *words)
        with subprocess.Popen(command, **options) as process:
            try:
                _wait_for(folder / ".s.PGSQL.5432", process)
                yield Server(folder)
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exists(name):
    try:
        return pwd.getpwnam(name) is not None
    except KeyError:
        return False


def _wait_for(socket, process):
    import psycopg

    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, "the server ended"
        try:
            psycopg.connect(host=str(socket.parent), user=SUPERUSER, dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the server does not answer")
