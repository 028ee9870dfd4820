"""Runs KQL queries over sets of rows, by DuckDB and a translator from KQL to its SQL.

In, on stdin: a line with a JSON array of queries; then, for each set, a line with a JSON array of
rows as `recon run --events` writes them.
Out, on stdout: for each set, a line with a JSON array that has an array of rows for each query.

The decision held here: this script knows only recon's columns. A row stands for `Count` equal
events, so the table has it that many times; strings are never null, as in Kusto.
"""

import datetime
import json
import sys

import duckdb_kql

COLUMNS = {
    "TimeGenerated": "TIMESTAMP",
    "Timestamp": "TIMESTAMP",
    "DeviceName": "VARCHAR",
    "ActionType": "VARCHAR",
    "Protocol": "VARCHAR",
    "RemoteIP": "VARCHAR",
    "RemotePort": "INTEGER",
    "LocalIP": "VARCHAR",
    "LocalPort": "INTEGER",
    "RemoteIPType": "VARCHAR",
    "InitiatingProcessFileName": "VARCHAR",
    "InitiatingProcessId": "BIGINT",
    "InitiatingProcessCommandLine": "VARCHAR",
    "InitiatingProcessFolderPath": "VARCHAR",
    "InitiatingProcessAccountName": "VARCHAR",
    "InitiatingProcessParentId": "BIGINT",
    "InitiatingProcessIsScanner": "BOOLEAN",
    "RemoteNetwork": "VARCHAR",
}


def column(name, kind):
    """The SQL of a column's value."""
    value = f"value ->> '$.{name}'"
    if kind == "VARCHAR":
        return f'coalesce({value}, \'\') AS "{name}"'
    if kind == "TIMESTAMP":
        return f'CAST(CAST({value} AS TIMESTAMPTZ) AS TIMESTAMP) AS "{name}"'
    return f'CAST({value} AS {kind}) AS "{name}"'


READ = f"""
CREATE OR REPLACE TEMP TABLE counted AS
SELECT {", ".join(column(name, kind) for name, kind in COLUMNS.items())}, CAST(value ->> '$.Count' AS BIGINT) AS events
FROM json_each(CAST(? AS JSON))
WHERE value ->> '$.Type' = 'DeviceNetworkEvents'
"""
EXPAND = """
INSERT INTO DeviceNetworkEvents
SELECT counted.* EXCLUDE (events) FROM counted, range(events)
"""


def plain(value):
    """A value for JSON; times are in UTC."""
    if isinstance(value, datetime.datetime):
        return value.isoformat() + "Z"
    return value


def main():
    database = duckdb_kql.connect()
    database.execute("SET TimeZone = 'UTC'")
    database.execute("SET threads = 1")
    table = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
    database.execute(f"CREATE TABLE DeviceNetworkEvents ({table})")
    queries = json.loads(sys.stdin.readline())
    for number, query in enumerate(queries):
        # Planning a query takes longer than running it.
        database.execute(f"PREPARE query_{number} AS {duckdb_kql.to_sql(query)}")
    for rows in sys.stdin:
        database.execute("DELETE FROM DeviceNetworkEvents")
        database.execute(READ, [rows])
        database.execute(EXPAND)
        answers = []
        for number in range(len(queries)):
            found = database.execute(f"EXECUTE query_{number}")
            names = [name for name, *_ in found.description]
            answers.append([dict(zip(names, map(plain, row))) for row in found.fetchall()])
        print(json.dumps(answers), flush=True)


main()
