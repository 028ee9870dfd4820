"""Runs KQL queries over sets of rows: DuckDB does, and a translator from KQL to its SQL.

In, on stdin: a line with a JSON array of queries; then a line with a JSON array of rows for each set, as `recon run --events` writes them.
Out, on stdout: for each set a line with a JSON array that has an array of rows for each query.

The decision held here: nothing of recon is known here but its columns. A row stands for `Count` events that are alike, so the table has it
that many times; strings are never null, as in Kusto.
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
    """The value of a column, as the table has it."""
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
    """A value as JSON has it; times are in UTC."""
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
        # To plan one takes longer than to run it.
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
