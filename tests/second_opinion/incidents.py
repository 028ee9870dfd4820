"""Groups lines of alerts into incidents, by DuckDB, as a person with the lines alone would.

In, on stdin: lines as `recon run` writes them. The first argument is the folder with the queries
for SIEMs.
Out, on stdout: a JSON object. `groups` has a row for each `event.id`: what its lines agree on, and
what they differ in. `sentinel` has the rows of incidents.kql, run by a translator from KQL to
DuckDB's SQL. `elastic` has the rows that incidents.esql has by its fields of `BY`.
"""

import json
import pathlib
import re
import sys

import duckdb_kql

# After a kill, a line may be there twice: docs/alerts.md says what two such lines agree in.
LINES = """
CREATE TABLE lines AS
SELECT line FROM (SELECT unnest(CAST(? AS JSON[])) AS line)
WHERE line ->> '$.event.kind' = 'alert'
QUALIFY row_number() OVER (
    PARTITION BY line ->> '$.event.id', line ->> '$.event.action', line ->> '$."@timestamp"') = 1
"""
GROUPS = """
SELECT
    line ->> '$.event.id' AS id,
    count(*) AS lines,
    list(DISTINCT line ->> '$.rule.id') AS rules,
    list(DISTINCT coalesce(line ->> '$.source.address', line ->> '$.recon.source_network')) AS sources,
    list(DISTINCT concat_ws(' ', line ->> '$.destination.address', line ->> '$.destination.port')) AS destinations,
    list_sort(list(DISTINCT line ->> '$.process.pid')) AS processes,
    list(DISTINCT line ->> '$.network.direction') AS directions,
    list(line ->> '$.event.action' ORDER BY
        CAST(line ->> '$."@timestamp"' AS TIMESTAMPTZ),
        CAST(line ->> '$.event.sequence' AS BIGINT)) AS actions,
    bool_and(CAST(line ->> '$.event.start' AS TIMESTAMPTZ)
        <= CAST(line ->> '$.event.end' AS TIMESTAMPTZ)) AS is_ordered
FROM lines
WHERE line ->> '$.event.action' <> 'left_out'
GROUP BY id
ORDER BY id
"""


def rows(database, query):
    """The rows of a query, by the names of their columns."""
    found = database.execute(query)
    names = [name for name, *_ in found.description]
    return [dict(zip(names, row)) for row in found.fetchall()]


def grouping(esql):
    """What a query of ES|QL groups by, in SQL."""
    fields = re.search(r"^\s+BY (.+)$", esql, re.MULTILINE).group(1).split(", ")
    return ", ".join(f"line ->> '$.{field}'" for field in fields)


def main():
    siem = pathlib.Path(sys.argv[1])
    lines = [json.loads(line) for line in sys.stdin]
    database = duckdb_kql.connect()
    database.execute("SET threads = 1")
    database.execute("SET TimeZone = 'UTC'")
    database.execute(LINES, [json.dumps(lines)])
    database.execute("CREATE VIEW Recon_CL AS SELECT CAST(line AS VARCHAR) AS RawData FROM lines")
    by = grouping((siem / "incidents.esql").read_text())
    kql = duckdb_kql.to_sql((siem / "incidents.kql").read_text())
    found = {
        "groups": rows(database, GROUPS),
        "sentinel": rows(database, f"SELECT EventId, Lines, Rule FROM ({kql})"),
        "elastic": rows(database, f"SELECT count(*) AS lines FROM lines GROUP BY {by}"),
    }
    print(json.dumps(found))


main()
