"""Triggers that refuse changes of the ledger, for each engine. Part of revision 0002: a change needs a new one."""

_APPEND_ONLY = ("transfers", "entries")

_LEG = """SELECT 1 FROM transfers AS t
    WHERE t.id = NEW.transfer_id AND t.currency = NEW.currency
    AND (t.debit_leg = NEW.owner AND NEW.amount = -t.amount OR t.credit_leg = NEW.owner AND NEW.amount = t.amount)"""

_STRAY = "SELECT RAISE(ABORT, 'the entry is no leg of its transfer')"

_POSTGRES_FUNCTIONS = (
    """CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'check_violation'; END $$""",
    f"""CREATE FUNCTION refuse_stray_entry() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
    IF NOT EXISTS ({_LEG}) THEN
        RAISE EXCEPTION 'the entry is no leg of its transfer' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
    END $$""",
)


def postgresql() -> list[str]:
    return [
        *_POSTGRES_FUNCTIONS,
        *(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            for table in _APPEND_ONLY
        ),
        "CREATE TRIGGER entries_leg BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION refuse_stray_entry()",
    ]


def sqlite() -> list[str]:
    return [
        *(
            f"CREATE TRIGGER {table}_no_{change} BEFORE {change} ON {table}"
            f" BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            for table in _APPEND_ONLY
            for change in ("update", "delete")
        ),
        f"CREATE TRIGGER entries_leg BEFORE INSERT ON entries WHEN NOT EXISTS ({_LEG}) BEGIN {_STRAY}; END",
    ]
