"""The gradebook: every result as it comes, and the marks that persons gave.

One database, SQLite unless told otherwise. Results are only ever added; which of them counts for a piece of work is one row
of `current`, whose primary key allows no second. Marks of persons are only ever added too, to a table of their own that
grading never writes to. Every public method is one transaction: whenever the process dies, the gradebook is whole.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from autograder.outline import Outline, work_of
from autograder.report import Mark, Report

SCHEMA = 1
_WAIT_S = 30
"""How long to wait for another program that writes to the same SQLite file."""

_LOCK = 0x6772616465
"""Names the lock that writers hold in PostgreSQL; SQLite has one of its own."""


class GradebookError(Exception):
    """The gradebook cannot be used; the message says why and what to do."""


class _Base(DeclarativeBase):
    pass


class _Setting(_Base):
    __tablename__ = "setting"
    name: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    value: Mapped[str] = mapped_column(sa.Text)


class _Result(_Base):
    """One verdict of the judge. `report` is its JSON, compressed; `outline` has the marks of persons in it."""

    __tablename__ = "result"
    id: Mapped[int] = mapped_column(primary_key=True)
    student: Mapped[str] = mapped_column(sa.String(1000))
    work: Mapped[str] = mapped_column(sa.String(1000))
    key: Mapped[str] = mapped_column(sa.String(64))
    graded_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=lambda: datetime.now(UTC))
    outline: Mapped[str] = mapped_column(sa.Text)
    report: Mapped[bytes] = mapped_column(sa.LargeBinary, deferred=True)
    __table_args__ = (sa.Index("result_of_work", "student", "work", "key"),)


class _Current(_Base):
    """The result that counts for a piece of work, and since when: a mark of a person begins a new time."""

    __tablename__ = "current"
    student: Mapped[str] = mapped_column(sa.String(1000), primary_key=True)
    work: Mapped[str] = mapped_column(sa.String(1000), primary_key=True)
    result_id: Mapped[int] = mapped_column(sa.ForeignKey("result.id"), unique=True)
    since: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class _Mark(_Base):
    """Points that a person gave; the newest of an exercise counts."""

    __tablename__ = "mark"
    id: Mapped[int] = mapped_column(primary_key=True)
    student: Mapped[str] = mapped_column(sa.String(1000))
    unit: Mapped[str] = mapped_column(sa.String(1000))
    exercise: Mapped[str] = mapped_column(sa.String(1000))
    points: Mapped[int]
    by: Mapped[str] = mapped_column(sa.String(1000))
    reason: Mapped[str] = mapped_column(sa.Text)
    given_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=lambda: datetime.now(UTC))
    digest: Mapped[str] = mapped_column(sa.String(64))
    __table_args__ = (sa.Index("mark_of_work", "student", "unit"),)


@dataclass(frozen=True, slots=True)
class Stored:
    """A result as it is found again.

    Attributes:
        counts_since: when it began to count, marks of persons included; None for one that is kept aside, or was replaced.
    """

    outline: Outline
    counts_since: datetime | None


class Gradebook:
    """An open gradebook.

    Args:
        where: a file, a SQLite database, or the URL of any database, as SQLAlchemy reads it.
        create: make it, if it is not there.

    Attributes:
        name: what messages call it.
        file: where it is, if it is a file.

    Raises:
        GradebookError: here and in every method, where the database cannot be reached, read or written.
    """

    def __init__(self, where: Path | str, create: bool = True) -> None:
        try:
            url = sa.engine.make_url(where) if isinstance(where, str) else sa.URL.create("sqlite", database=str(where))
            self.name = (
                url.render_as_string(hide_password=True) if url.get_backend_name() != "sqlite" else str(url.database)
            )
            wait = {"timeout": _WAIT_S} if url.get_backend_name() == "sqlite" and "timeout" not in url.query else {}
            self._engine = sa.create_engine(url, connect_args=wait)
        except (exc.ArgumentError, exc.NoSuchModuleError, ValueError) as error:
            raise GradebookError(
                f"{where} is not the URL of a database: it should look like sqlite:///grades.sqlite or "
                f"postgresql+psycopg://user@host/name ({error})"
            ) from None
        except ModuleNotFoundError as error:
            raise GradebookError(f"the driver of this database is not installed: pip install {error.name}") from None
        is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
        self.file = Path(str(url.database)).resolve() if is_file else None
        if not create and (self.file is None or not self.file.exists()) and not self._has_tables():
            raise GradebookError(
                f"there is no gradebook {self.name}: run `autograder grade` first, or name one with --gradebook"
            )
        if url.get_backend_name() == "sqlite":
            event.listen(self._engine, "connect", _set_up_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        with self._writing() as session:
            _Base.metadata.create_all(session.connection())
            schema = session.get(_Setting, "schema")
            if schema is None:
                session.add(_Setting(name="schema", value=str(SCHEMA)))
            elif schema.value != str(SCHEMA):
                raise GradebookError(
                    f"{self.name} was written by another version (format {schema.value}, this one is {SCHEMA}): "
                    "use that version, or another --gradebook"
                )

    def _has_tables(self) -> bool:
        if self.file is not None:  # to ask would make it
            return False
        with self._sentences():
            return sa.inspect(self._engine).has_table(_Setting.__tablename__)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Gradebook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- results -----------------------------------------------------------------------------------------------------

    def seed(self) -> str:
        """Return the secret from which inputs are drawn, the same for every run on this gradebook."""
        with self._writing() as session:
            stored = session.get(_Setting, "seed")
            if stored is None:
                stored = _Setting(name="seed", value=secrets.token_hex(16))
                session.add(stored)
            return stored.value

    def find(self, student: str, work: str, key: str) -> Stored | None:
        """Return the result with this key, if there is one, whether it counts or not."""
        with self._reading() as session:
            row = _find(session, student, work, key)
            if row is None:
                return None
            outline, current = Outline.from_json(row.outline), session.get(_Current, (student, work))
            # Not if there is word of a later version of the file that had no verdict: it is to be taken back first.
            later = None if work.startswith("/") else session.get(_Current, (student, work_of("", outline.file)))
            counts = current is not None and later is None and session.get_one(_Result, current.result_id).key == key
            return Stored(outline, _utc(current.since) if current is not None and counts else None)

    def save(self, key: str, report: Report, counts: bool = True) -> Outline:
        """Add a result; return its outline, marks of persons included.

        Args:
            key: the digest of all that the report depends on.
            counts: False keeps it aside: a proposal, which `publish` makes count.
        """
        work = work_of(report.unit, report.file, report.state)
        with self._writing() as session:
            outline = Outline.of(report.marked(_marks(session, report.student, report.unit)))
            row = _Result(
                student=report.student,
                work=work,
                key=key,
                outline=outline.to_json(),
                report=report.pack(),
            )
            session.add(row)
            session.flush()
            if counts:
                _make_current(session, row)
            return outline

    def publish(self, student: str, work: str, key: str) -> None:
        """Make the result with this key the one that counts."""
        with self._writing() as session:
            row = _find(session, student, work, key)
            if row is None:
                raise GradebookError(f"{self.name} has no such result for {student} in {work}")
            _make_current(session, row)

    def report(self, student: str, work: str) -> Report | None:
        """Return the report that counts, as the judge wrote it."""
        with self._reading() as session:
            row = _current(session, student, work)
            return Report.unpack(row.report) if row else None

    def outline(self, student: str, work: str) -> Outline | None:
        """Return what counts for one piece of work, in short."""
        with self._reading() as session:
            row = _current(session, student, work)
            return Outline.from_json(row.outline) if row else None

    def outlines(self) -> list[Outline]:
        """Return what counts, of everybody."""
        with self._reading() as session:
            query = sa.select(_Result.outline).join(_Current, _Current.result_id == _Result.id)
            return [Outline.from_json(text) for text in session.scalars(query.execution_options(yield_per=500))]

    # -- marks that persons gave -------------------------------------------------------------------------------------

    def marks(self, student: str, unit: str) -> dict[str, Mark]:
        """Return the mark that counts for each exercise that a person marked."""
        with self._reading() as session:
            return _marks(session, student, unit)

    def give_mark(
        self,
        student: str,
        unit: str,
        exercise: str,
        points: int,
        by: str,
        reason: str = "",
        before: Callable[[], None] = lambda: None,
    ) -> Report:
        """Give points in place of the judge's, for good. Returns the report with them.

        Args:
            before: called when the mark is known to be in order, before it is saved.

        Raises:
            GradebookError: there is no such result, or the points are out of range.
        """
        with self._writing() as session:
            row = _current(session, student, unit)
            if row is None:
                raise GradebookError(f"{self.name} has no result for {student} in {unit}: grade it first")
            report = Report.unpack(row.report)
            judged = next((e for e in report.exercises if e.name == exercise), None)
            if judged is None:
                names = ", ".join(e.name for e in report.exercises) or "none"
                raise GradebookError(f"{unit} of {student} has no exercise {exercise}: it has {names}")
            if not 0 <= points <= judged.max_points:
                raise GradebookError(f"{exercise} gives from 0 to {judged.max_points} points, not {points}")
            before()
            session.add(
                _Mark(
                    student=student, unit=unit, exercise=exercise, points=points, by=by, reason=reason, digest=report.digest
                )
            )  # fmt: skip
            session.flush()
            # Also in what was replaced or is kept aside, which may count one day.
            for each in session.scalars(sa.select(_Result).where(_Result.student == student, _Result.work == unit)):
                _outline_again(session, each)
            _make_current(session, row)
            return report.marked(_marks(session, student, unit))

    # -- transactions ------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """Open a transaction that waits for other writers, so that what it reads is still so when it writes."""
        with self._sentences(), Session(self._engine, expire_on_commit=False) as session:
            connection = session.connection(execution_options={"writes": True})
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            yield session
            session.commit()

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._sentences(), Session(self._engine) as session:
            yield session

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn what a database may say into one sentence."""
        try:
            yield
        except exc.DBAPIError as error:
            said = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
            raise GradebookError(_explain(self.name, said)) from None
        except exc.SQLAlchemyError as error:
            raise GradebookError(f"the gradebook {self.name} cannot be used: {error}") from None


def _find(session: Session, student: str, work: str, key: str) -> _Result | None:
    query = sa.select(_Result).where(_Result.student == student, _Result.work == work, _Result.key == key)
    return session.scalars(query.order_by(_Result.id.desc()).limit(1)).first()


def _current(session: Session, student: str, work: str) -> _Result | None:
    query = sa.select(_Result).join(_Current, _Current.result_id == _Result.id)
    return session.scalars(query.where(_Current.student == student, _Current.work == work)).first()


def _make_current(session: Session, row: _Result) -> None:
    session.merge(_Current(student=row.student, work=row.work, result_id=row.id, since=datetime.now(UTC)))
    if not row.work.startswith("/"):
        # There may have been no verdict on the file, until its owner mended it.
        file = Outline.from_json(row.outline).file
        gone = sa.delete(_Current).where(_Current.student == row.student, _Current.work == work_of("", file))
        session.execute(gone)


def _marks(session: Session, student: str, unit: str) -> dict[str, Mark]:
    rows = session.scalars(sa.select(_Mark).where(_Mark.student == student, _Mark.unit == unit).order_by(_Mark.id))
    return {
        row.exercise: Mark(
            points=row.points, judged=0, by=row.by, reason=row.reason, digest=row.digest,
            given_at=_utc(row.given_at).isoformat(timespec="seconds"),
        )
        for row in rows
    }  # fmt: skip


def _utc(at: datetime) -> datetime:
    """SQLite forgets the time zone, which is always UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _outline_again(session: Session, row: _Result) -> None:
    """Put the marks of persons into a result's outline."""
    report = Report.unpack(row.report)
    row.outline = Outline.of(report.marked(_marks(session, report.student, report.unit))).to_json()


def _set_up_sqlite(connection: sqlite3.Connection, record: object) -> None:
    """Write ahead, so that readers and the writer do not wait for each other; and let transactions begin below."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    (wait_ms,) = cursor.execute("PRAGMA busy_timeout").fetchone()
    deadline = time.monotonic() + wait_ms / 1000
    # The one statement for which SQLite itself does not wait: two programs that make a gradebook at once meet here.
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that writes takes the lock at once: one that reads first may find the file changed when it writes.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _explain(name: str, said: str) -> str:
    if "locked" in said:
        return (
            f"the gradebook {name} is in use: another program has it locked. Close what writes to it (another `autograder "
            "grade`, a database browser), then run the same command again"
        )
    if "full" in said or "No space" in said:
        return (
            f"the disk is full, so the gradebook {name} cannot be written: make room, then run the same command again"
        )
    if "not a database" in said or "malformed" in said:
        return f"{name} is not a gradebook, or is damaged ({said}): name another with --gradebook"
    if "unable to open" in said or "readonly" in said or "read-only" in said:
        return f"the gradebook {name} cannot be written ({said}): does its folder exist, and may you write there?"
    return f"the gradebook {name} cannot be used: {said}"
