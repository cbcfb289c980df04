"""A database on a PostgreSQL server (extra `postgres`)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from bot.errors import StoreError
from bot.store.backend import ANOTHER, POSTGRES, READERS, in_use

if TYPE_CHECKING:
    import psycopg  # optional

DRIVER = f"{POSTGRES}+psycopg"
_CONNECT_SECONDS = 10
_LOCK = 7_264_178_893_221
"""The advisory lock of upgrades and, shared, of running bots; the same in every database."""
_BOTS = 726_417
"""The first number of the lock that the processes of a bot share; the second is the bot's id."""
LEADER_LOCK, _MIGRATION = 7_264_178_893_222, 7_264_178_893_223
_LOCKS = (
    "FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_MAX_INT = 2**31

_UNREACHABLE = "08"  # the SQLSTATE class of connection errors
_ENDED = "57P"  # the server ends, or has just been started
_FULL, _READ_ONLY = "53", "25006"


class InUseError(StoreError):
    """An upgrade or another bot is using the database."""


class PostgresDatabase:
    """A database on a server. The files that belong to it are in the current folder.

    `conninfo` is its address for psycopg.
    """

    is_shared = True

    def __init__(self, url: str) -> None:
        parts = make_url(url)
        self._url = parts.set(drivername=DRIVER)
        self.conninfo = _make_conninfo(self._url)
        self.name = f"{parts.database or ''} on {parts.host or 'this machine'}"
        self.path = Path(f"{Path(parts.database or 'understudy').name}.postgresql")
        self.file = self.path.absolute()

    def exists(self) -> bool:
        """See Backend. An empty database has no tables yet, which `read_version` finds out."""
        return True

    @contextmanager
    def open_read_only(self) -> Iterator[Engine]:
        """See Backend."""
        engine = self._make_engine(poolclass=NullPool)
        event.listen(engine, "begin", lambda one: one.exec_driver_sql("SET TRANSACTION READ ONLY"))
        try:
            yield engine
        finally:
            engine.dispose()

    def create(self) -> None:
        """Do nothing: an administrator creates the database."""

    def make_reader(self) -> Engine:
        """See Backend."""
        return self._make_engine(pool_size=READERS, pool_pre_ping=True)

    def make_writer(self) -> Engine:
        """See Backend."""
        return self._make_engine(pool_size=1, pool_pre_ping=True)

    def begin_migration(self, connection: Connection) -> None:
        """See Backend: several processes may be started at the same time."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_MIGRATION))

    @contextmanager
    def lock(self, bot_id: int | None = None) -> Iterator[None]:
        """See Backend. If this process is killed, the server releases the lock."""
        shared = "" if bot_id is None else "_shared"
        taken = text(f"SELECT pg_try_advisory_lock{shared}(:key)").bindparams(key=_LOCK)
        with self.open_autocommit() as engine, engine.connect() as connection:
            if not connection.execute(taken).scalar_one():
                raise StoreError(in_use(self.name))
            if bot_id is not None:
                self._join(connection, bot_id % _MAX_INT)
            try:
                yield
            finally:
                with suppress(DBAPIError, StoreError):  # at once, for whoever takes it next
                    connection.execute(text("SELECT pg_advisory_unlock_all()"))

    def _join(self, connection: Connection, number: int) -> None:
        """Take the lock that the processes of one bot share.

        Raises:
            StoreError: Another bot uses the database.
        """
        take = text("SELECT pg_advisory_lock_shared(:first, :second)")
        connection.execute(take.bindparams(first=_BOTS, second=number))
        others = text(
            f"SELECT count(*) {_LOCKS} "
            "AND classid::bigint = :first AND objid::bigint <> :second AND objsubid = 2"
        )
        if connection.execute(others.bindparams(first=_BOTS, second=number)).scalar_one():
            raise StoreError(in_use(self.name))

    async def share_locks(self, connection: "psycopg.AsyncConnection[Any]", bot_id: int) -> None:
        """Take the locks of a running bot once more, for as long as this connection lasts.

        Raises:
            InUseError: An upgrade or another bot has taken over the database.
        """
        number = bot_id % _MAX_INT
        taken = "SELECT pg_try_advisory_lock_shared(%s), pg_advisory_lock_shared(%s, %s)"
        row = await (await connection.execute(taken, (_LOCK, _BOTS, number))).fetchone()
        others = f"SELECT count(*) {_LOCKS} AND classid = %s AND objid <> %s AND objsubid = 2"
        count = await (await connection.execute(others, (_BOTS, number))).fetchone()
        if not row or not row[0] or not count or count[0]:
            raise InUseError(in_use(self.name))

    def is_locked(self) -> bool:
        """See Backend."""
        query = text(f"SELECT count(*) {_LOCKS} AND (classid::bigint << 32) | objid::bigint = :key")
        with self.open_read_only() as engine, engine.connect() as connection:
            return bool(connection.execute(query.bindparams(key=_LOCK)).scalar_one())

    def truncate_log(self, writer: Engine) -> bool:
        """Return True: the server keeps its log and recycles it automatically."""
        del writer
        return True

    def size(self) -> int:
        """See Backend."""
        with self.open_read_only() as engine, engine.connect() as connection:
            query = text("SELECT pg_database_size(current_database())")
            return int(connection.execute(query).scalar_one())

    def vacuum(self, writer: Engine) -> None:
        """Let the server reuse the space of erased rows."""
        del writer
        with self.open_autocommit() as engine, engine.connect() as connection:
            connection.exec_driver_sql("VACUUM")

    @contextmanager
    def open_autocommit(self) -> Iterator[Engine]:
        """Open an engine whose statements are separate transactions."""
        engine = self._make_engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")
        try:
            yield engine
        finally:
            engine.dispose()

    def _make_engine(self, **options: object) -> Engine:
        try:
            engine = create_engine(
                self._url,
                hide_parameters=True,
                connect_args={"connect_timeout": _CONNECT_SECONDS},
                **{**({} if "poolclass" in options else {"max_overflow": 0}), **options},
            )
        except ModuleNotFoundError as error:
            raise StoreError(
                "the driver for PostgreSQL is missing: pip install 'understudy-bot[postgres]'"
            ) from error
        event.listen(engine, "handle_error", self._translate, retval=True)
        return engine

    def _translate(self, context: ExceptionContext) -> StoreError | None:
        """Return an error for what is not this program's mistake. It does not quote the values."""
        if context.is_pre_ping or not isinstance(context.sqlalchemy_exception, DBAPIError):
            return None  # after a failed ping, SQLAlchemy connects again
        code = getattr(context.original_exception, "sqlstate", None)
        if code is None or context.is_disconnect or code[:2] == _UNREACHABLE or code[:3] == _ENDED:
            return StoreError(
                f"the database {self.name} cannot be reached: start the server, check the address "
                f"and the password, or {ANOTHER}"
            )
        if code[:2] == _FULL:
            return StoreError(
                f"the database {self.name} cannot be written (SQLSTATE {code}): free space on the "
                "server's disk, or allow more connections"
            )
        if code == _READ_ONLY:
            return StoreError(f"the database {self.name} is read-only: use the primary server")
        return None


def _make_conninfo(url: URL) -> str:
    """Return an address for psycopg that means what the URL means for SQLAlchemy."""
    from psycopg.conninfo import make_conninfo
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    dialect: Any = PGDialect_psycopg  # it has no types
    _, options = dialect().create_connect_args(url)
    return make_conninfo("", **options)
