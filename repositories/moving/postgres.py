"""The gate's triggers in PostgreSQL. Every writing transaction takes a shared advisory lock at its first write and then
reads the mark; a switch takes the lock exclusively.
"""

from collections.abc import Iterator

from repositories.moving.gate import REFUSAL, Engine, Noted, Statements, Working, refused_states

MOVED = "QT001"
_LOCK_MILLISECONDS = 400


class PostgresEngine(Engine):
    at_once = False

    def has_marks(self, database: Statements) -> bool:
        return bool(database.rows("SELECT to_regclass('moving_marks') IS NOT NULL", {})[0][0])

    def make_notes(self, role: str) -> str:
        return f"""CREATE TABLE IF NOT EXISTS moving_{role} (
            seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL, key text NOT NULL
        )"""

    def refuse(self, role: str, noted: Noted) -> Iterator[str]:
        """The query after the lock sees everything that was committed before the lock was granted."""
        yield f"""CREATE OR REPLACE FUNCTION moving_refuse_{role}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
            PERFORM pg_advisory_xact_lock_shared({_lock(role)});
            IF EXISTS (SELECT 1 FROM moving_marks WHERE role = '{role}' AND state IN ({refused_states()})) THEN
                RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = '{MOVED}';
            END IF;
            RETURN NULL;
            END $$"""  # noqa: S608  names of ours
        yield f"""CREATE OR REPLACE TRIGGER moving_refuse BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {noted.table}
            FOR EACH STATEMENT EXECUTE FUNCTION moving_refuse_{role}()"""

    def note(self, role: str, noted: Noted) -> Iterator[str]:
        old, new = _values(noted, "OLD"), _values(noted, "NEW")
        insert = f"INSERT INTO moving_{role} (kind, key) VALUES"
        yield f"""CREATE OR REPLACE FUNCTION moving_note_{noted.table}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
            IF TG_OP <> 'DELETE' THEN {insert} {new}; END IF;
            IF TG_OP = 'DELETE' THEN {insert} {old};
            ELSIF TG_OP = 'UPDATE' THEN
                IF {old} IS DISTINCT FROM {new} THEN {insert} {old}; END IF;
            END IF;
            RETURN NULL;
            END $$"""
        yield f"""CREATE OR REPLACE TRIGGER moving_note AFTER INSERT OR UPDATE OR DELETE ON {noted.table}
            FOR EACH ROW EXECUTE FUNCTION moving_note_{noted.table}()"""

    def remove(self, role: str, noted: Noted) -> Iterator[str]:  # noqa: ARG002  the port's
        yield f"DROP TRIGGER IF EXISTS moving_refuse ON {noted.table}"
        yield f"DROP TRIGGER IF EXISTS moving_note ON {noted.table}"

    def patience(self, work: Working) -> None:
        work.execute(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}", {})

    def stop_writers(self, role: str, work: Working) -> None:
        work.execute(f"SELECT pg_advisory_xact_lock({_lock(role)})", {})


def _lock(role: str) -> str:
    return f"hashtextextended('quartet move {role}', 0)"


def _values(noted: Noted, row: str) -> str:
    kind, key = noted.kind.format(row=row), ", ".join(noted.key).format(row=row)
    return f"({kind}, jsonb_build_array({key})::text)"
